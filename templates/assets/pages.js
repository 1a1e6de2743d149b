// What pages gain by a script; each works without. Marks follow the tables behind charts: row i of a table is point i of its chart.

const REFRESH = 60_000;
const TIMEOUT = 10_000;

function element(name, className, text = '') {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

// ---- The tooltip: one for the page ----

const tooltip = element('div', 'tooltip');
tooltip.id = 'tooltip';
tooltip.hidden = true;
tooltip.setAttribute('aria-hidden', 'true');

function showTooltip(point, [head, ...rows]) {
  const list = element('dl', '');
  for (const [name, value] of rows) {
    const row = element('div', '');
    row.append(element('dt', '', name), element('dd', '', value));
    list.append(row);
  }
  tooltip.replaceChildren(element('p', '', head), list);
  tooltip.hidden = false;
  place(point.getBoundingClientRect());
}

// Beside the point where there is room, and always within the window.
function place(point) {
  const { width, height } = tooltip.getBoundingClientRect();
  const right = point.right + 8;
  const left = right + width < innerWidth - 8 ? right : point.left - width - 8;
  const within = (value, size, room) => Math.max(8, Math.min(value, room - size - 8));
  tooltip.style.setProperty('left', `${within(left, width, document.documentElement.clientWidth) + scrollX}px`);
  tooltip.style.setProperty('top', `${within(point.top + 8, height, innerHeight) + scrollY}px`);
}

function hideTooltip() {
  tooltip.hidden = true;
  document.querySelector('.point.is-shown')?.classList.remove('is-shown');
}

// ---- Points ----

/** What each point of a figure says: its name, then pairs of a column and a value. */
function pointsOf(table, rows) {
  const heads = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent);
  const lines = Array.from(table.tBodies[0].rows, (row) => Array.from(row.cells, (cell) => cell.textContent.trim()));
  if (rows === 1) return lines.map(([head, ...values]) => [head, ...values.map((value, i) => [heads[i + 1], value])]);
  return lines.flatMap(([head, ...values]) => values.map((value, i) => [`${head}, ${heads[i + 1]}`, ['', value]]));
}

const said = ([head, ...rows]) => [head, ...rows.map(([name, value]) => `${name} ${value}`.trim())].join(', ');

/** Where a key leads among points in rows of `columns`; undefined for keys that lead nowhere. */
function target(key, from, columns, count) {
  const column = from % columns;
  const moves = {
    ArrowLeft: column > 0 ? from - 1 : from,
    ArrowRight: column < columns - 1 ? from + 1 : from,
    ArrowUp: from - columns,
    ArrowDown: from + columns,
    Home: from - column,
    End: from - column + columns - 1,
  };
  const to = moves[key];
  if (to === undefined) return undefined;
  return to >= 0 && to < count ? to : from;
}

function setUpFigure(figure) {
  const area = figure.querySelector('.area');
  const table = figure.querySelector('.data table');
  setUpToggle(figure);
  setUpSteps(figure.querySelector('.funnel'));
  if (!area || !table || area.querySelector('.points')) return;
  const [columns, rows] = [Number(area.dataset.columns), Number(area.dataset.rows)];
  const texts = pointsOf(table, rows);
  if (texts.length !== columns * rows || !texts.length) return;
  area.append(group(figure, texts, columns, rows));
}

// The steps of a funnel say themselves what they are.
function setUpSteps(funnel) {
  const steps = Array.from(funnel?.children ?? []);
  steps.forEach((step, index) => { step.tabIndex = index ? -1 : 0; });
  funnel?.addEventListener('keydown', (event) => {
    const to = target(event.key, steps.indexOf(event.target), 1, steps.length);
    if (to === undefined) return;
    event.preventDefault();
    steps[to].focus();
  });
}

function group(figure, texts, columns, rows) {
  const points = element('div', 'points');
  points.setAttribute('role', 'group');
  points.setAttribute('aria-label', 'Points of the chart, one with each arrow key');
  points.style.setProperty('--columns', columns);
  points.style.setProperty('--rows', rows);
  // One stop for the Tab key: at the latest point, which is asked for most.
  const stop = rows === 1 ? texts.length - 1 : 0;
  points.append(...texts.map((text, index) => pointOf(text, index === stop)));
  const all = points.children;
  const show = (point) => {
    hideTooltip();
    point.classList.add('is-shown');
    showTooltip(point, texts[Array.prototype.indexOf.call(all, point)]);
  };
  points.addEventListener('focusin', ({ target: point }) => {
    points.querySelector('[tabindex="0"]').tabIndex = -1;
    point.tabIndex = 0;
    show(point);
  });
  points.addEventListener('focusout', hideTooltip);
  points.addEventListener('pointerover', ({ target: point }) => point !== points && show(point));
  points.addEventListener('pointerleave', hideTooltip);
  points.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const to = target(event.key, Array.prototype.indexOf.call(all, event.target), columns, all.length);
    if (to === undefined) return;
    event.preventDefault();
    all[to].focus();
  });
  return points;
}

function pointOf(text, isStop) {
  const point = element('span', 'point');
  point.setAttribute('role', 'img');
  point.setAttribute('aria-label', said(text));
  point.tabIndex = isStop ? 0 : -1;
  return point;
}

// ---- Chart ⇄ table ----

// Without a script the table opens below the chart; with one it takes its place.
function setUpToggle(figure) {
  const details = figure.querySelector('.data');
  if (!details || details.dataset.ready) return;
  details.dataset.ready = 'true';
  const show = () => {
    figure.classList.toggle('as-table', details.open);
    details.querySelector('[data-toggle]').textContent = details.open ? 'Show the chart' : 'Show the table';
  };
  details.addEventListener('toggle', show);
  show();
}

// ---- Refresh ----

let refreshedAt = performance.now();
let timer;

export async function refresh() {
  if (document.hidden) return;
  refreshedAt = performance.now();
  try {
    const response = await fetch(location.href, { cache: 'no-store', redirect: 'error', signal: AbortSignal.timeout(TIMEOUT) });
    if (!response.ok) throw new Error();
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html').querySelector('main');
    if (!fresh) throw new Error();
    swap(fresh);
    say('');
  } catch {
    // The figures stay, and say from when they are; a session that is over shows itself when the page is loaded again.
    say('The figures on this page could not be refreshed. They may be out of date.');
  }
  schedule();
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(refresh, Math.max(REFRESH - (performance.now() - refreshedAt), 0));
}

/** Puts a new main in the place of the old, unless somebody is in the middle of something. */
function swap(fresh) {
  const main = document.querySelector('main');
  if (main.querySelector('form :focus') || !getSelection().isCollapsed || main.innerHTML === fresh.innerHTML) return;
  const kept = stateOf(main);
  hideTooltip();
  main.replaceChildren(...fresh.childNodes);
  restore(main, kept);
  setUp(main);
  refocus(main, kept.focus);
}

function stateOf(main) {
  const open = Array.from(main.querySelectorAll('details'), ({ open }) => open);
  const scrolled = Array.from(main.querySelectorAll('.scroll, .sheet'), ({ scrollLeft, scrollTop }) => [scrollLeft, scrollTop]);
  return { open, scrolled, focus: main.contains(document.activeElement) ? pathTo(main, document.activeElement) : null };
}

// An element is found again by the nearest id above it, and its place among those of its kind below that.
function pathTo(main, focused) {
  const holder = focused.closest('[id]');
  const within = holder && main.contains(holder) ? holder : main;
  const kind = focused.tagName + Array.from(focused.classList, (name) => (name === 'is-shown' ? '' : `.${name}`)).join('');
  return { id: within.id, kind, index: focused === within ? -1 : Array.from(within.querySelectorAll(kind)).indexOf(focused) };
}

function restore(main, { open, scrolled }) {
  const details = main.querySelectorAll('details');
  // A page of another shape: its details are others.
  if (details.length === open.length) details.forEach((each, i) => { each.open = open[i]; });
  const boxes = main.querySelectorAll('.scroll, .sheet');
  if (boxes.length === scrolled.length) boxes.forEach((each, i) => each.scrollTo(...scrolled[i]));
}

function refocus(main, focus) {
  if (!focus) return;
  const within = focus.id ? document.getElementById(focus.id) : main;
  const found = focus.index < 0 ? within : within?.querySelectorAll(focus.kind)[focus.index];
  found?.focus({ preventScroll: true });
}

const status = element('p', 'refresh-status');
status.setAttribute('role', 'status');

function say(text) {
  if (status.textContent !== text) status.textContent = text;
}

// ---- Start ----

function setUp(root) {
  root.querySelectorAll('figure[data-chart]').forEach(setUpFigure);
}

document.body.append(tooltip, status);
setUp(document);
// WCAG 1.4.13: what appears by itself can be sent away without moving.
document.addEventListener('keydown', ({ key }) => key === 'Escape' && hideTooltip());
if ('refresh' in document.documentElement.dataset) {
  document.addEventListener('visibilitychange', () => !document.hidden && schedule());
  schedule();
}
