//! The layers of ARCHITECTURE.md: no import cycle in any folder, no import from a lower layer to a higher one.

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path::Path};

/// The modules of the library, lowest layer first. Modules of the same layer can import each other.
const LAYERS: &[&str] = &[
    "sync names text calendar timestamp dates error format protobuf",
    "geo",
    "model record",
    "observe raster",
    "atomic_file file_system",
    "storage",
    "client places",
    "sources",
    "stages sinks",
    "pictures",
    "arrow map",
    "flow overlay training",
    "query",
];

/// The code of each module by its path in the crate, without comments and tests.
type Modules = BTreeMap<Vec<String>, String>;
type Imports = BTreeMap<String, BTreeSet<String>>;

fn read(folder: &Path, module: &[String], modules: &mut Modules) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_root = ["mod", "lib", "main"].contains(&name);
        let child = if is_root { module.to_vec() } else { [module, &[name.to_owned()]].concat() };
        if path.is_dir() {
            read(&path, &child, modules);
        } else if !name.ends_with("tests") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code = text.lines().filter_map(|line| line.split("//").next());
            modules.insert(child, code.collect::<Vec<_>>().join("\n"));
        }
    }
}

fn package(name: &str) -> Modules {
    let mut modules = Modules::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name), &[], &mut modules);
    modules
}

/// Returns the imported paths of a module, or its re-exported ones.
fn paths(code: &str, exported: bool) -> Vec<String> {
    let mut paths = Vec::new();
    for (before, tree) in code.split(';').filter_map(|statement| statement.rsplit_once("use ")) {
        let visibility = before.rsplit(['\n', '}']).next().unwrap_or_default().trim();
        if (visibility.is_empty() && !exported) || (visibility.starts_with("pub") && exported) {
            expand("", &tree.split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
        }
    }
    // Paths in expressions and types.
    let roots = code.match_indices("crate::").chain(code.match_indices("super::"));
    paths.extend(roots.filter(|_| !exported).map(|(at, _)| {
        let end = code[at..].find(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
        code[at..end.map_or(code.len(), |end| at + end)].trim_end_matches(':').to_owned()
    }));
    paths
}

/// Expands `a::{b, c::{d, e as f}}` to its paths.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        depth = (depth + usize::from(c == '{')).saturating_sub(usize::from(c == '}'));
        if c == ',' && depth == 0 {
            let part = tree[start..at].trim();
            match part.strip_suffix('}').and_then(|part| part.split_once('{')) {
                Some((head, rest)) => expand(&format!("{prefix}{head}"), rest, paths),
                None => paths.push(format!("{prefix}{}", part.split(" as ").next().unwrap_or_default())),
            }
            start = at + 1;
        }
    }
}

/// Returns the module that defines the last name of a path used in `module`. Follows re-exports.
fn resolve(modules: &Modules, module: &[String], path: &str, depth: usize) -> Option<Vec<String>> {
    let mut target = module.to_vec();
    let child = |target: &[String], name: &str| [target, &[name.to_owned()]].concat();
    for (index, name) in path.split("::").enumerate() {
        match name {
            "crate" => target.clear(),
            "self" => {}
            "super" => drop(target.pop()),
            _ if modules.contains_key(&child(&target, name)) => target = child(&target, name),
            _ if index == 0 || depth > 9 => return None,
            _ => {
                let exported = paths(modules.get(&target)?, true);
                let exported = exported.iter().find(|path| path.rsplit("::").next() == Some(name));
                let origin = exported.and_then(|path| resolve(modules, &target, path, depth + 1));
                return origin.or(Some(target));
            }
        }
    }
    Some(target)
}

/// Returns the imports between the children of a folder. `mod` is the folder's own `mod.rs`.
fn imports(modules: &Modules, folder: &[String]) -> Imports {
    let child = |module: &[String]| module.get(folder.len()).map_or("mod", String::as_str).to_owned();
    let mut imports = Imports::new();
    for (module, code) in modules.iter().filter(|(module, _)| module.starts_with(folder)) {
        let targets = paths(code, false).into_iter().filter_map(|path| resolve(modules, module, &path, 0));
        let targets = targets.filter(|target| target.starts_with(folder)).map(|target| child(&target));
        let others = targets.filter(|target| *target != child(module));
        imports.entry(child(module)).or_default().extend(others);
    }
    imports
}

/// Removes all imports that are not part of a cycle.
fn cycle(mut imports: Imports) -> Imports {
    for _ in 0..=imports.len() {
        let imported: BTreeSet<_> = imports.values().flatten().cloned().collect();
        imports.retain(|module, targets| !targets.is_empty() && imported.contains(module));
        let left: BTreeSet<_> = imports.keys().cloned().collect();
        for targets in imports.values_mut() {
            targets.retain(|target| left.contains(target));
        }
    }
    imports
}

#[test]
fn no_folder_has_an_import_cycle() {
    let mut cycles = Vec::new();
    for name in ["src", "cli/src", "python/src", "sandbox/src"] {
        let modules = package(name);
        let folders = modules.keys().filter_map(|module| module.split_last().map(|(_, folder)| folder));
        for folder in folders.collect::<BTreeSet<_>>() {
            let cycle = cycle(imports(&modules, folder));
            cycles.extend((!cycle.is_empty()).then(|| format!("{name}/{}: {cycle:?}", folder.join("/"))));
        }
    }
    assert!(cycles.is_empty(), "import cycles:\n{}", cycles.join("\n"));
}

#[test]
fn no_module_imports_a_higher_layer() {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.split(' ').any(|name| name == module));
    for (module, targets) in imports(&package("src"), &[]).iter().filter(|(module, _)| *module != "mod") {
        let own = layer(module).unwrap_or_else(|| panic!("{module} is in no layer of LAYERS"));
        let higher = targets.iter().find(|target| layer(target) > Some(own));
        assert_eq!(higher, None, "{module} imports a higher layer");
    }
}
