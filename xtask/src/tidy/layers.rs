//! Rule: who may import whom, and which libraries stay out of which crate. The table is the design's; a crate that
//! needs an arrow that is not in it is a question about the design, not about this file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Finding;

const RULE: &str = "layers";

/// Package, and the packages of ours that it may import.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("adapters", &["domain"]),
    ("actors", &["adapters", "domain"]),
    ("gateway", &["actors", "adapters", "domain"]),
    ("consensus", &["domain"]),
    ("consensus-rocks", &["consensus", "domain"]),
    ("wire", &["actors", "adapters", "consensus", "domain"]),
    ("runtime", &["gateway", "wire", "actors", "adapters", "consensus", "domain"]),
    ("node", &["runtime", "gateway", "consensus", "consensus-rocks", "actors", "wire", "domain"]),
    ("sim", &["runtime", "gateway", "wire", "actors", "adapters", "consensus", "domain"]),
    ("chaos", &["sim", "domain"]),
    ("bench", &[]),
    ("xtask", &[]),
];

/// Package, and the libraries that it must not depend on outside its tests.
const KEPT_OUT: &[(&str, &[&str])] = &[
    ("domain", &["tokio", "futures", "async-trait", "rand", "tracing", "log"]),
    ("adapters", &["tokio", "hyper", "hyper-util", "rand", "tonic"]),
    ("actors", &["tonic", "axum", "hyper", "hyper-util", "rustls", "rand"]),
    ("gateway", &["tonic", "rustls", "ractor", "openraft"]),
    ("consensus", &["axum", "tonic", "hyper", "ractor"]),
    ("consensus-rocks", &["axum", "tonic", "hyper", "ractor"]),
    ("wire", &["rustls", "tokio-rustls", "rcgen", "axum"]),
    ("runtime", &["rustls", "tokio-rustls", "nvml-wrapper", "clap"]),
    ("sim", &["rustls", "tokio-rustls"]),
];

/// The only package that compiles C++ of its own.
const ROCKSDB_OWNER: &str = "consensus-rocks";

/// One arrow of the real graph.
struct Import {
    from: String,
    to: String,
    manifest: PathBuf,
    for_tests: bool,
}

/// Holds the workspace's manifests against the table.
///
/// # Errors
/// When cargo cannot read the manifests.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo could not read the workspace's manifests")?;
    let mut imports = Vec::new();
    for package in &metadata.packages {
        if !ARROWS.iter().any(|(name, _)| *name == package.name.as_str()) {
            bail!(
                "package {} is in no layer: add it to the design and to the table in layers.rs",
                package.name
            );
        }
        let manifest = package.manifest_path.as_std_path();
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).to_path_buf();
        imports.extend(package.dependencies.iter().map(|dependency| Import {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            manifest: manifest.clone(),
            for_tests: dependency.kind == DependencyKind::Development,
        }));
    }
    Ok(imports
        .iter()
        .filter_map(|import| Some((import, judge(import)?)))
        .map(|(import, message)| {
            let line = line_of(&root.join(&import.manifest), &import.to);
            Finding { path: import.manifest.clone(), line, rule: RULE, message }
        })
        .collect())
}

/// What is wrong with an arrow, where something is.
fn judge(import: &Import) -> Option<String> {
    let Import { from, to, for_tests, .. } = import;
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let kept_out: BTreeMap<&str, &[&str]> = KEPT_OUT.iter().copied().collect();
    if to == "rocksdb" && from != ROCKSDB_OWNER {
        return Some(format!(
            "only {ROCKSDB_OWNER} may depend on rocksdb: go through consensus and its Disk"
        ));
    }
    if arrows.contains_key(to.as_str()) {
        // A package may name itself, to turn on a feature for its own tests.
        let allowed =
            from == to || arrows.get(from.as_str()).is_some_and(|allowed| allowed.contains(&to.as_str()));
        return (!allowed)
            .then(|| format!("{from} may not import {to}: move the code or pass it in through a port"));
    }
    let banned =
        !for_tests && kept_out.get(from.as_str()).is_some_and(|banned| banned.contains(&to.as_str()));
    banned.then(|| format!("{from} must not depend on {to}: leave that to a layer above, behind a port"))
}

/// The line of a manifest that names a dependency; the first where none does.
fn line_of(manifest: &Path, name: &str) -> usize {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let names = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    text.lines().position(names).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(from: &str, to: &str, for_tests: bool) -> bool {
        let import =
            Import { from: from.to_string(), to: to.to_string(), manifest: PathBuf::new(), for_tests };
        judge(&import).is_none()
    }

    #[test]
    fn arrows_of_the_design_pass() {
        assert!(allowed("wire", "actors", false));
        assert!(allowed("node", "consensus-rocks", false));
        assert!(allowed("consensus-rocks", "rocksdb", false));
        assert!(allowed("domain", "serde", false));
    }

    #[test]
    fn arrows_against_the_design_do_not() {
        assert!(!allowed("domain", "actors", false));
        assert!(!allowed("sim", "consensus-rocks", true), "not even in tests");
        assert!(!allowed("node", "rocksdb", false));
        assert!(!allowed("gateway", "tonic", false));
        assert!(!allowed("bench", "domain", false));
    }

    #[test]
    fn a_library_that_is_kept_out_may_serve_the_tests() {
        assert!(!allowed("domain", "tokio", false));
        assert!(allowed("domain", "tokio", true));
    }

    #[test]
    fn every_arrow_goes_one_way() {
        for (from, to) in ARROWS.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, *to))) {
            assert!(!allowed(to, from, false), "{from} and {to} may import each other");
        }
    }
}
