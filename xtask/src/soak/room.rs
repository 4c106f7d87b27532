//! What a folder takes up on its disk.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Bytes of one block, as the system counts them.
const BLOCK_BYTES: u64 = 512;

/// Returns the bytes that are allocated for a file, or for a folder and all that is in it.
///
/// What vanishes while it is counted counts as nothing.
pub(crate) fn allocated(path: &Path) -> u64 {
    let Ok(facts) = fs::symlink_metadata(path) else {
        return 0;
    };
    let own = facts.blocks() * BLOCK_BYTES;
    if !facts.is_dir() {
        return own;
    }
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    own + below.map(|entry| allocated(&entry.path())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_is_in_it() {
        let folder = std::env::temp_dir().join(format!("xtask-room-{}", std::process::id()));
        fs::create_dir_all(folder.join("below")).expect("made");
        let empty = allocated(&folder);
        fs::write(folder.join("below/file"), vec![1; 100_000]).expect("written");
        let grown = allocated(&folder) - empty;
        fs::remove_dir_all(&folder).expect("removed");
        assert!((100_000..200_000).contains(&grown), "{grown}");
        assert_eq!(allocated(&folder), 0);
    }
}
