//! The scratch copy of the work tree in which bugs are planted. Only what differs is copied, so that a file that no
//! bug touches keeps its time and cargo does not build it again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tree;

/// A copy of the tree, and what it is a copy of.
pub(crate) struct Scratch {
    root: PathBuf,
    tree: PathBuf,
}

impl Scratch {
    pub(crate) fn new(root: PathBuf, tree: PathBuf) -> Scratch {
        Scratch { root, tree }
    }

    /// The work tree.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The copy.
    pub(crate) fn tree(&self) -> &Path {
        &self.tree
    }

    /// Makes the copy equal to the work tree again.
    pub(crate) fn reset(&self) -> Result<()> {
        let files: BTreeSet<PathBuf> = tree::files(&self.root)?.into_iter().collect();
        std::fs::create_dir_all(&self.tree).with_context(|| format!("creating {}", self.tree.display()))?;
        for old in files_under(&self.tree)? {
            if !files.contains(old.strip_prefix(&self.tree)?) {
                std::fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
            }
        }
        for file in &files {
            copy_if_different(&self.root.join(file), &self.tree.join(file))
                .with_context(|| format!("copying {}", file.display()))?;
        }
        Ok(())
    }

    /// Applies a patch to the copy.
    pub(crate) fn apply(&self, patch: &Path) -> Result<()> {
        let applied = Command::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .arg(patch)
            .current_dir(&self.tree)
            // the copy may lie inside a repository, which must not be mistaken for it
            .env("GIT_CEILING_DIRECTORIES", self.tree.parent().unwrap_or(&self.tree))
            .output()
            .context("git could not be started: install git")?;
        if !applied.status.success() {
            let reason = String::from_utf8_lossy(&applied.stderr).trim().replace('\n', "; ");
            bail!("does not apply, make it anew against the tree: {reason}");
        }
        Ok(())
    }
}

fn files_under(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    Ok(files)
}

fn copy_if_different(from: &Path, to: &Path) -> Result<()> {
    let wanted = std::fs::read(from)?;
    if std::fs::read(to).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // written anew rather than copied: cargo goes by the time of the change
    std::fs::write(to, wanted)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "# finds: any seeds 0..1\ndiff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n";

    fn scratch(name: &str) -> Scratch {
        let base = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let (root, tree) = (base.join("root"), base.join("tree"));
        std::fs::create_dir_all(&root).expect("a folder");
        std::fs::write(root.join("a.txt"), "one\n").expect("a file");
        let git = Command::new("git").args(["init", "-q"]).current_dir(&root).status().expect("git");
        assert!(git.success());
        Scratch::new(root, tree)
    }

    fn content(scratch: &Scratch) -> String {
        std::fs::read_to_string(scratch.tree().join("a.txt")).expect("the copied file")
    }

    fn remove(scratch: &Scratch) {
        let base = scratch.root().parent().expect("the base folder").to_path_buf();
        std::fs::remove_dir_all(base).expect("removing the test's folder");
    }

    #[test]
    fn a_patch_changes_the_copy_and_a_reset_takes_it_back() {
        let scratch = scratch("reset");
        let patch = scratch.root().join("bug.patch");
        std::fs::write(&patch, PATCH).expect("a patch");
        scratch.reset().expect("reset");
        scratch.apply(&patch).expect("apply");
        assert_eq!(content(&scratch), "two\n");
        assert!(scratch.apply(&patch).is_err(), "it applies once");
        std::fs::write(scratch.tree().join("new.txt"), "x").expect("a file");
        scratch.reset().expect("reset");
        assert_eq!(content(&scratch), "one\n");
        assert!(!scratch.tree().join("new.txt").exists());
        remove(&scratch);
    }
}
