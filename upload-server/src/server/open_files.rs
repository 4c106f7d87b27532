//! How many files the process may have open, and how many uploads that is enough for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Uploads at a time where the system does not say how many files may be open.
const UPLOADS_MAX_UNKNOWN: u32 = 50_000;

/// Raises the number of files the process may have open to what the system allows at most.
///
/// For programs, before they make their [`Limits`](crate::Limits): many systems let a process begin
/// with 1,024, and each connection takes one, as each upload to a file does.
///
/// # Errors
///
/// The system refuses.
pub fn raise_open_files() -> std::io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Returns how many uploads leave a quarter of the descriptors to connections and everything else.
pub(crate) fn uploads_max() -> u32 {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return UPLOADS_MAX_UNKNOWN;
    };
    let uploads = files.saturating_sub(files / 4).max(1);
    u32::try_from(uploads).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_allowed_is_taken() {
        raise_open_files().expect("no more than allowed");
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        let files = limit.current.map_or(u64::MAX, |files| files);
        assert!(u64::from(uploads_max()) < files && uploads_max() > 0);
    }
}
