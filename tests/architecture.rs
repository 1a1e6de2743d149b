//! What ARCHITECTURE.md says of the code: no file uses a layer above its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the bottom to the top, each with the modules in it. The longest path that fits a module tells its layer.
const LAYERS: [(&str, &[&str]); 10] = [
    (
        "domain",
        &[
            "business",
            "charts",
            "clock",
            "conversation",
            "pricing",
            "log_on_change",
            "event",
            "fair_share",
            "field_name",
            "link",
            "locale",
            "rollup",
            "shape",
            "quota",
            "quota::notation",
            "quota::counts",
            "auth::key",
            "auth::caller",
            "privacy::subject",
            "privacy::consent",
            "privacy::contact",
            "audit",
            "audit::entry",
            "audit::chain",
            "audit::purge",
            "audit::verify",
        ],
    ),
    ("config", &["config", "security", "metrics", "owned_file"]),
    ("store", &["store", "spool"]),
    (
        "services",
        &[
            "auth",
            "ingest",
            "import",
            "export",
            "retention",
            "quota::limits",
            "quota::memory",
            "quota::shared",
            "quota::flood",
            "audit::recorder",
            "audit::head_file",
            "lifecycle",
            "telemetry",
        ],
    ),
    ("privacy", &["privacy"]),
    ("app", &["app"]),
    ("analytics", &["analytics"]),
    ("pages", &["pages"]),
    ("http", &["http"]),
    ("cli", &["cli"]),
];

/// Files that only declare and re-export modules of several layers.
const FACADES: [&str; 4] = ["auth", "audit", "privacy", "quota"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The modules in `src/`, by name, with their text up to their tests and without lines of comments.
pub(crate) fn modules() -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root().join("src")).unwrap().with_extension("");
            let name = name.to_str().unwrap().replace(['/', '\\'], "::");
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            let code = absolute(&name, &code.join("\n"));
            modules.insert(name, code);
        }
    }
    modules
}

/// Writes the paths of `module` that begin with `super::` from `crate::` on.
fn absolute(module: &str, code: &str) -> String {
    let parents: Vec<&str> = module.split("::").collect();
    let mut code = code.to_owned();
    for up in (1..=parents.len()).rev() {
        let path = [&["crate"], &parents[..parents.len() - up], &[""]].concat().join("::");
        code = code.replace(&"super::".repeat(up), &path);
    }
    code
}

/// The number of the layer that `module` is in; `None` where no path fits.
fn layer(module: &str) -> Option<usize> {
    let fits =
        |path: &str| module == path || module.strip_prefix(path).is_some_and(|rest| rest.starts_with("::"));
    let paths = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, (_, paths))| paths.iter().map(move |path| (layer, *path)));
    paths.filter(|(_, path)| fits(path)).max_by_key(|(_, path)| path.len()).map(|(layer, _)| layer)
}

/// The paths below `crate::` that a text names, groups in braces taken apart.
fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':');
        let Some(group) = rest[end..].strip_prefix('{') else {
            found.insert(path.to_owned());
            continue;
        };
        let group = &group[..group.find('}').unwrap()];
        found.extend(group.split(',').map(|item| format!("{path}::{}", item.trim())));
    }
    found
}

/// The module that an item of a facade is defined in, by the facade's `pub use`.
fn resolved(path: &str, modules: &BTreeMap<String, String>) -> String {
    let Some((facade, item)) = path.split_once("::").filter(|(facade, _)| FACADES.contains(facade)) else {
        return path.to_owned();
    };
    let item = item.split("::").next().unwrap();
    for line in modules[facade].split("pub use ").skip(1) {
        let Some((module, items)) = line[..line.find(';').unwrap()].split_once("::") else { continue };
        if items.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|one| one == item) {
            return format!("{facade}::{module}");
        }
    }
    path.to_owned()
}

#[test]
fn no_file_uses_a_layer_above_its_own() {
    let modules = modules();
    let mut wrong = Vec::new();
    for (module, code) in &modules {
        if FACADES.contains(&module.as_str()) && !matches!(module.as_str(), "quota")
            || ["lib", "main"].contains(&module.as_str())
        {
            continue;
        }
        let own = layer(module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for path in paths(code) {
            let used = resolved(&path, &modules);
            match layer(&used) {
                Some(layer) if layer > own => {
                    wrong.push(format!("{module} ({}) uses {used} ({})", LAYERS[own].0, LAYERS[layer].0));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
