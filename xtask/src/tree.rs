//! The work tree: where it is and which files belong to it. Used by every chore; it never changes a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository's root: the folder above this package, as cargo tells when it runs this program or its tests. Where it
/// was when this was compiled says nothing: several checkouts may share one folder of what is built.
pub(crate) fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.context("start this through cargo: `cargo xtask …`")?;
    let root = Path::new(&package).parent().context("the package has no folder above it")?;
    Ok(root.to_path_buf())
}

/// Every file of the tree relative to its root, sorted: tracked, or new and not ignored.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("git")
        // a checkout owned by another user (as in a container) is only read here
        .args(["-c", "safe.directory=*"])
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git could not be started: install git")?;
    if !listed.status.success() {
        bail!("git could not list the tree: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let text = String::from_utf8(listed.stdout).context("a file's name is not UTF-8: rename it")?;
    let mut files: Vec<PathBuf> =
        text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    // a tracked file may be gone from the tree
    files.retain(|file| root.join(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

/// The folder for what is built: `CARGO_TARGET_DIR`, or `target` under the root.
pub(crate) fn target(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_has_its_manifest_and_no_git_folder() {
        let root = root().expect("root");
        let files = files(&root).expect("files");
        assert!(files.contains(&PathBuf::from("Cargo.toml")));
        assert!(!files.iter().any(|file| file.starts_with(".git")));
    }
}
