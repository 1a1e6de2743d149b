const PERIOD = 10_000;
const TIMEOUT = 4_000;
const SHORTEST_BUSY = 300;
const UNKNOWN = '—';

// ---- Prometheus text format 0.0.4 ----

const LABEL = String.raw`[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"([^"\\]*(?:\\[^][^"\\]*)*)"[ \t]*`;
const LABELS = String.raw`\{(?<labels>(?:${LABEL}(?:,|(?=\})))*)[ \t]*\}`;
const SAMPLE = new RegExp(
  String.raw`^[ \t]*(?<name>[a-zA-Z_:][\w:]*)(?:[ \t]*${LABELS}[ \t]*|[ \t]+)(?<value>\S+)(?:[ \t]+-?\d+)?[ \t\r]*$`,
);

/** All samples of a scrape as `{ name, labels, value }`; throws on a line that is none. */
export function parseMetrics(text) {
  // Only \n ends a line: a label value may hold every other separator as it is.
  return text.split('\n').filter((line) => !/^[ \t\r]*(#|$)/.test(line)).map(parseSample);
}

function parseSample(line) {
  const { name, labels = '', value } = SAMPLE.exec(line)?.groups ?? {};
  if (!name) throw new Error('not a sample');
  return { name, labels: parseLabels(labels), value: parseValue(value) };
}

function parseLabels(text) {
  const pairs = text.matchAll(new RegExp(LABEL, 'g'));
  return Object.fromEntries(Array.from(pairs, ([, name, value]) => [name, unescaped(value)]));
}

function unescaped(value) {
  return value.replace(/\\([\\"n])/g, (_, mark) => (mark === 'n' ? '\n' : mark));
}

function parseValue(text) {
  if (/^nan$/i.test(text)) return NaN;
  const value = Number(text.replace(/^([+-]?)inf$/i, '$1Infinity'));
  if (Number.isNaN(value)) throw new Error('not a value');
  return value;
}

/** A function from a family's name to its sum over all labels. */
export function totalsOf(samples) {
  const sums = new Map();
  for (const { name, value } of samples) sums.set(name, (sums.get(name) ?? 0) + value);
  // Before the totals are loaded an absent family says nothing; afterwards it is a true zero.
  const absent = sums.has('ai_response_time_seconds_count') ? 0 : NaN;
  return (name) => sums.get(name) ?? absent;
}

// ---- Figures as people read them ----

const decimals = (least, most = least) =>
  new Intl.NumberFormat('en-US', { minimumFractionDigits: least, maximumFractionDigits: most });
const figure = (value, digits, unit = '') =>
  Number.isFinite(value) ? decimals(digits).format(value) + unit : UNKNOWN;

export const count = (value) => figure(value, 0);
export const percent = (value, digits) => figure(value, digits, ' %');
export const megabytes = (value) => figure(value, 1, ' MB');

export function dollars(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (value >= 100) return `$${decimals(2).format(value)}`;
  return `$${decimals(4, value < 0.0001 ? 6 : 4).format(value)}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return UNKNOWN;
  const whole = Math.floor(seconds);
  const parts = [[whole / 86400, 'd'], [(whole / 3600) % 24, 'h'], [(whole / 60) % 60, 'min'], [whole % 60, 's']]
    .map(([amount, unit]) => [Math.floor(amount), unit]);
  const first = parts.findIndex(([amount]) => amount > 0);
  const shown = first < 0 ? parts.slice(3) : parts.slice(first, first + 3);
  return shown.map(([amount, unit]) => `${amount} ${unit}`).join(' ');
}

export function errorLevel(rate) {
  if (!Number.isFinite(rate)) return 'unknown';
  // Judge the figure that is shown, so that "5.00 %" never stands beside "low".
  const shown = Math.round(rate * 100) / 100;
  if (shown < 5) return 'good';
  return shown <= 10 ? 'warn' : 'bad';
}

function moment(date) {
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const today = date.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' };
  return new Intl.DateTimeFormat('en-GB', style).format(date);
}

// ---- What happened since the page was opened ----

// As many refreshes as an hour has.
const HISTORY = 360;
// Fewer points do not fill the line, so that the first ones do not look like a long time.
const SHORTEST = 30;
const SVG = 'http://www.w3.org/2000/svg';

/** A line from 0 to the highest of `values`, the latest on the right, with gaps where they are not numbers. */
export function sparkline(values) {
  const width = Math.max(values.length, SHORTEST);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'sparkline');
  svg.setAttribute('viewBox', `0 0 ${width} 100`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', pathOf(values, width - values.length));
  svg.append(path);
  return svg;
}

/** The path of such a line, which begins `skipped` points from the left. A point between two gaps is a dot. */
export function pathOf(values, skipped) {
  const top = Math.max(...values.filter(Number.isFinite), 0) || 1;
  let path = '';
  values.forEach((value, i) => {
    if (!Number.isFinite(value)) return;
    const place = `${skipped + i + 0.5} ${Math.round(100 - (Math.max(value, 0) / top) * 100)}`;
    path += Number.isFinite(values[i - 1]) ? `L${place}` : `M${place}h0`;
  });
  return path;
}

/** What a card shows of the past: a figure itself, or how much a counter grew from each refresh to the next. */
class Past {
  values = [];
  last = NaN;

  constructor(card, format, isCounter, what = '') {
    Object.assign(this, { card, format, isCounter, what });
  }

  add(value) {
    const grown = value - this.last;
    // A counter that goes down began anew, and what it counted since then is not known.
    const shown = this.isCounter ? (grown >= 0 ? grown : NaN) : value;
    this.last = value;
    // The first figure of a counter is not a growth.
    if (this.values.length || Number.isFinite(shown)) this.values.push(shown);
    this.values.splice(0, this.values.length - HISTORY);
    this.draw();
  }

  draw() {
    const known = this.values.filter(Number.isFinite);
    if (!known.length) return;
    const latest = this.format(this.values.at(-1));
    const most = this.format(Math.max(...known));
    const text = this.isCounter ? `Last +${latest}, highest +${most}${this.what}` : `Highest ${most}${this.what}`;
    find('past', this.card).replaceChildren(sparkline(this.values), paragraph(text, 'note'));
  }
}

const PAST = {
  requests: new Past('requests', count, true),
  'error-rate': new Past('error-rate', (value) => percent(value, 2), false),
  resources: new Past('resources', (value) => percent(value, 1), false, ' CPU'),
  appointments: new Past('appointments', count, true, ' booked'),
  handoffs: new Past('handoffs', count, true),
  tokens: new Past('tokens', count, true),
  cost: new Past('cost', dollars, true),
};

// ---- The two sources and their cards ----

const ERROR_WORDS = { good: 'low', warn: 'elevated', bad: 'high', unknown: 'unknown' };
const STATUS_LEVELS = { healthy: 'good', degraded: 'warn' };
const source = (id, name, path, past, show) => ({ id, name, path, past, show, problem: '', goodAt: null, retryAt: 0 });
const SOURCES = [
  source('health', 'The health report', '/health/detailed', ['requests', 'error-rate', 'resources'],
    (text) => showHealth(JSON.parse(text))),
  source('metrics', 'The metrics page', '/metrics', ['appointments', 'handoffs', 'tokens', 'cost'],
    (text) => showTotals(totalsOf(parseMetrics(text)))),
];

const find = (attribute, name) => document.querySelector(`[data-${attribute}="${name}"]`);
const put = (name, text) => { find('value', name).textContent = text; };
const grade = (card, level) => { find('card', card).dataset.level = level; };

function showHealth({ status, environment, uptime, system, requests, health_checks: checks }) {
  put('status', status ?? UNKNOWN);
  grade('status', status ? STATUS_LEVELS[status] ?? 'bad' : 'unknown');
  put('environment', environment ?? UNKNOWN);
  put('uptime', duration(uptime?.seconds));
  find('note', 'started').textContent = uptime?.started_at ? `Since ${moment(new Date(uptime.started_at))}` : '';
  put('memory', megabytes(system?.memory_usage_mb));
  put('cpu', percent(system?.cpu_percent, 1));
  PAST.resources.add(system?.cpu_percent ?? NaN);
  showRequests(requests);
  showDatabase(checks?.database_connected);
}

function showRequests({ total, failed, error_rate_percent: rate } = {}) {
  put('requests-total', count(total));
  PAST.requests.add(total ?? NaN);
  PAST['error-rate'].add(rate ?? NaN);
  put('error-rate', percent(rate, 2));
  const level = errorLevel(rate);
  grade('error-rate', level);
  find('word', 'error-rate').textContent = ERROR_WORDS[level];
  const known = Number.isFinite(failed) && Number.isFinite(total);
  find('note', 'failed').textContent = known ? `${count(failed)} of ${count(total)} requests failed` : '';
}

function showDatabase(connected) {
  const known = typeof connected === 'boolean';
  const [word, level] = connected ? ['connected', 'good'] : ['disconnected', 'bad'];
  put('database', known ? word : UNKNOWN);
  grade('database', known ? level : 'unknown');
}

function showTotals(total) {
  put('conversations', count(total('ai_requests_total')));
  put('tokens', count(total('ai_tokens_used_total')));
  put('cost', dollars(total('ai_api_cost_usd_total')));
  put('appointments-requested', count(total('appointments_requested_total')));
  put('appointments-booked', count(total('appointments_booked_total')));
  put('handoffs', count(total('human_handoffs_total')));
  PAST.appointments.add(total('appointments_booked_total'));
  PAST.handoffs.add(total('human_handoffs_total'));
  PAST.tokens.add(total('ai_tokens_used_total'));
  PAST.cost.add(total('ai_api_cost_usd_total'));
}

// ---- Asking ----

class Problem extends Error {
  constructor(message, seconds = 0) {
    super(message);
    this.retryAt = seconds && performance.now() + seconds * 1000;
  }
}

async function ask(path) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT);
  try {
    const response = await fetch(path, { signal: abort.signal, cache: 'no-store' });
    if (response.status === 429) throw new Problem('is rate limited', waitOf(response));
    if (response.status !== 200) throw new Problem(`answers with error ${response.status}`);
    return await response.text();
  } catch (error) {
    throw error instanceof Problem ? error : new Problem('is not answering');
  } finally {
    clearTimeout(timer);
  }
}

function waitOf(response) {
  const seconds = response.headers.get('Retry-After') ?? '';
  return /^\d+$/.test(seconds) ? Number(seconds) : PERIOD / 1000;
}

async function load(source) {
  try {
    show(source, await ask(source.path));
    Object.assign(source, { problem: '', goodAt: new Date(), retryAt: 0 });
  } catch ({ message, retryAt }) {
    Object.assign(source, { problem: message, retryAt });
    source.past.forEach((card) => PAST[card].add(NaN));
  }
  drawState();
}

function show(source, text) {
  try {
    source.show(text);
  } catch {
    throw new Problem('sends what this page cannot read');
  }
}

let busy = false;
let nextAt = 0;
let timer;

async function refresh() {
  if (busy) return;
  setBusy(true);
  const started = performance.now();
  const due = SOURCES.filter(({ retryAt }) => retryAt <= started);
  nextAt = started + PERIOD;
  try {
    // A refresh takes milliseconds; without the pause nobody would see that the button did something.
    await Promise.all([...due.map(load), new Promise((done) => setTimeout(done, SHORTEST_BUSY))]);
  } finally {
    // Whatever went wrong this time, the next time may go well.
    setBusy(false);
    schedule();
  }
}

function setBusy(value) {
  busy = value;
  // Not `disabled`: that would take the keyboard focus away at every tick.
  document.getElementById('refresh').setAttribute('aria-busy', String(value));
}

function schedule() {
  clearTimeout(timer);
  if (document.hidden) return;
  const waits = SOURCES.map(({ retryAt }) => retryAt).filter(Boolean);
  nextAt = Math.min(nextAt, ...waits);
  // A fraction of a millisecond too early, and a rate-limited source would be passed over.
  timer = setTimeout(refresh, Math.ceil(nextAt - performance.now()));
}

function onVisibility() {
  clearTimeout(timer);
  if (!document.hidden) refresh();
}

// ---- Telling how fresh it all is ----

function drawState() {
  const failing = SOURCES.filter(({ problem }) => problem);
  const loaded = SOURCES.every(({ goodAt }) => goodAt);
  const state = failing.length ? 'stale' : loaded ? 'live' : 'loading';
  document.documentElement.dataset.state = state;
  say(document.getElementById('state'), { loading: 'Loading', live: 'Live', stale: 'Stale' }[state]);
  const good = oldest(SOURCES);
  document.getElementById('updated').textContent = good ? `Updated ${moment(good)}` : '';
  document.querySelectorAll('[data-card]').forEach(markCard);
  drawBanner(failing);
}

// Writing the same text again would make screen readers say it again.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function oldest(sources) {
  const times = sources.map(({ goodAt }) => goodAt).filter(Boolean);
  return times.length ? new Date(Math.min(...times)) : null;
}

function markCard(card) {
  const stale = oldest(SOURCES.filter(({ id, problem }) => problem && card.dataset.sources.split(' ').includes(id)));
  card.querySelector('.stale-note')?.remove();
  card.toggleAttribute('data-stale', Boolean(stale));
  if (stale) card.append(paragraph(`Stale, last good at ${moment(stale)}`, 'stale-note'));
}

function paragraph(text, className = '') {
  const element = document.createElement('p');
  element.className = className;
  element.textContent = text;
  return element;
}

function drawBanner(failing) {
  const banner = document.getElementById('banner');
  const together = failing.length === SOURCES.length && new Set(failing.map(({ problem }) => problem)).size === 1;
  const groups = together ? [failing] : failing.map((source) => [source]);
  const lines = groups.map((group) => problemLine(group, together ? 'The service' : group[0].name));
  const degraded = find('value', 'status').textContent === 'degraded';
  if (degraded && !failing.length) lines.push(paragraph('The service reports that it is degraded.'));
  banner.dataset.level = failing.length ? 'bad' : 'warn';
  const said = lines.map(({ textContent }) => textContent).join();
  if (banner.dataset.said !== said) banner.replaceChildren(...lines);
  banner.dataset.said = said;
  drawCountdowns();
}

function problemLine(group, subject) {
  const good = oldest(group);
  const line = paragraph(`${subject} ${group[0].problem}`);
  const countdown = document.createElement('span');
  countdown.dataset.countdown = group.map(({ id }) => id).join(' ');
  // The banner is a live region; nobody wants to hear the seconds.
  countdown.setAttribute('aria-live', 'off');
  line.append(countdown, good ? `. Last good update: ${moment(good)}.` : '. No figures received yet.');
  return line;
}

function drawCountdowns() {
  const now = performance.now();
  for (const element of document.querySelectorAll('[data-countdown]')) {
    const ids = element.dataset.countdown.split(' ');
    const retryAt = Math.max(...SOURCES.filter(({ id }) => ids.includes(id)).map((source) => source.retryAt));
    const seconds = Math.ceil(((retryAt || nextAt) - now) / 1000);
    element.textContent = `, next try in ${count(Math.max(seconds, 0))} s`;
  }
}

// The parser and the formats are also of use where there is no page.
if (typeof document !== 'undefined') {
  document.getElementById('refresh').addEventListener('click', refresh);
  document.addEventListener('visibilitychange', onVisibility);
  setInterval(drawCountdowns, 1000);
  onVisibility();
}
