//! A look at a model file, for those below the configured folders only: what lies elsewhere is not even told to exist.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use actors::ports::{FileError, FileProbe};

/// How many of a file's first bytes are told.
const MAGIC_LEN: u64 = 8;

/// Size and first bytes of a file below one of the folders, after links are followed.
pub(super) fn probe(path: &Path, roots: &[PathBuf]) -> Result<FileProbe, FileError> {
    let text = path.display().to_string();
    let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    let roots: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    let inside = |path: &Path| roots.iter().any(|root| path.starts_with(root));
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) => return Err(absent(path, plain && inside(path), &error)),
    };
    if !inside(&real) {
        return Err(FileError::Outside(text));
    }
    let unreadable = |reason: String| FileError::Unreadable { path: text.clone(), reason };
    let mut file = File::open(&real).map_err(|e| unreadable(e.to_string()))?;
    let metadata = file.metadata().map_err(|e| unreadable(e.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is no file".to_owned()));
    }
    let mut magic = Vec::new();
    file.by_ref().take(MAGIC_LEN).read_to_end(&mut magic).map_err(|e| unreadable(e.to_string()))?;
    Ok(FileProbe { len: metadata.len(), magic })
}

fn absent(path: &Path, inside: bool, error: &io::Error) -> FileError {
    let path = path.display().to_string();
    match error.kind() {
        _ if !inside => FileError::Outside(path),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileError::Missing(path),
        _ => FileError::Unreadable { path, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_below_the_folders_are_told_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let (models, other) = (base.join("models"), base.join("other"));
        for folder in [&models, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("tiny.gguf"), b"GGUF3456789").unwrap();
        }
        symlink(other.join("tiny.gguf"), models.join("link.gguf")).unwrap();
        let roots = [models.clone()];
        let look = |path: PathBuf| probe(&path, &roots);

        let found = look(models.join("tiny.gguf")).unwrap();
        assert_eq!((found.len, found.magic.as_slice()), (11, b"GGUF3456".as_slice()));
        assert!(matches!(look(models.join("none.gguf")), Err(FileError::Missing(_))));
        assert!(matches!(look(models.clone()), Err(FileError::Unreadable { .. })));
        for outside in [other.join("tiny.gguf"), other.join("none"), models.join("link.gguf")] {
            assert!(matches!(look(outside.clone()), Err(FileError::Outside(_))), "{}", outside.display());
        }
        assert!(matches!(look(models.join("../other/none")), Err(FileError::Outside(_))));
        assert!(matches!(look(PathBuf::from("tiny.gguf")), Err(FileError::Outside(_))));
    }
}
