//! Gives the scratch build the libraries that the work tree has already built, so that the first planted bug does not
//! wait for all of them. Only libraries from outside the workspace are taken over: cargo knows them by the same
//! fingerprints there. It copies and never links, since cargo rewrites some of these files in place.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What the simulator never builds and what is large.
const LEFT_OUT: &[&str] = &["rocksdb", "librocksdb"];

/// Copies what `from` (a target folder) holds of outside libraries to `to`, once.
pub(crate) fn take_over(from: &Path, to: &Path, root: &Path) -> Result<()> {
    let (from, to) = (from.join("debug"), to.join("debug"));
    if to.exists() || !from.join(".fingerprint").is_dir() {
        return Ok(());
    }
    let ours = crates_of_ours(root)?;
    for part in [".fingerprint", "build", "deps"] {
        std::fs::create_dir_all(to.join(part)).with_context(|| format!("creating {}", to.display()))?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(from.join(part))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if is_outside(&name, &ours) && (part != "deps" || name.contains('.')) {
                names.push(name);
            }
        }
        copy(&from.join(part), &to.join(part), &names)?;
    }
    Ok(())
}

/// Names of the workspace's folders as cargo writes them into file names.
fn crates_of_ours(root: &Path) -> Result<BTreeSet<String>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo could not read the workspace's manifests")?;
    let packages = metadata.packages.iter();
    let names = packages.flat_map(|package| {
        let targets = package.targets.iter().map(|target| target.name.to_string());
        targets.chain([package.name.to_string()])
    });
    Ok(names.map(|name| name.replace('-', "_")).collect())
}

/// Whether a file of a target folder, as `libserde-0123.rlib`, belongs to a library from outside.
fn is_outside(name: &str, ours: &BTreeSet<String>) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let krate = stem.rsplit_once('-').map_or(stem, |(krate, _hash)| krate).replace('-', "_");
    let bare = krate.strip_prefix("lib").unwrap_or(&krate);
    !ours.contains(&krate)
        && !ours.contains(bare)
        && !LEFT_OUT.iter().any(|left_out| krate.starts_with(left_out))
}

/// Copies with times kept, since cargo compares them. `cp` clones the blocks where the file system can.
fn copy(from: &Path, to: &Path, names: &[String]) -> Result<()> {
    const NAMES_PER_CALL: usize = 500;
    for some in names.chunks(NAMES_PER_CALL) {
        let copied = Command::new("cp")
            .args(["-a", "--reflink=auto", "-t"])
            .arg(to)
            .arg("--")
            .args(some)
            .current_dir(from)
            .stdin(Stdio::null())
            .status()
            .context("cp could not be started")?;
        if !copied.success() {
            bail!("cp could not copy built libraries to {}: is the disk full?", to.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_from_outside_are_taken_over_and_ours_are_not() {
        let ours: BTreeSet<String> = ["domain", "consensus_rocks"].map(str::to_string).into();
        assert!(is_outside("libserde-0123456789abcdef.rlib", &ours));
        assert!(is_outside("async-trait-0123456789abcdef", &ours));
        assert!(!is_outside("libdomain-0123456789abcdef.rmeta", &ours));
        assert!(!is_outside("consensus-rocks-0123456789abcdef", &ours));
        assert!(!is_outside("librocksdb-sys-0123456789abcdef", &ours));
    }
}
