//! A file on its way to its final name.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Weak},
};

use super::{
    Shared,
    place::{self, Place},
    temp,
};
use crate::error::{WriteError, WriteErrorKind};

/// A file whose bytes are all written, on its way to its final name.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) shared: Arc<Shared>,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) client_size: u64,
}

impl Ending {
    /// Makes the bytes durable, then gives them their final name; a sync of both directories has to follow.
    ///
    /// No application would hear of a file whose `caller` is gone, so that one keeps its temporary name.
    pub(super) fn run(self, caller: &Weak<()>) -> Result<(), WriteError> {
        self.prepare()?;
        self.file.sync_all().map_err(place::lost)?;
        if caller.strong_count() == 0 {
            let why = "no one waits for the file any more";
            return Err(WriteError::new(WriteErrorKind::Failed, why));
        }
        self.publish()
    }

    /// Looks at the file, and brings it to its length.
    pub(super) fn prepare(&self) -> Result<(), WriteError> {
        if self.file.metadata()?.len() != self.size {
            return Err(WriteError::new(
                WriteErrorKind::Failed,
                "the file was changed by somebody else",
            ));
        }
        if self.shared.config.preallocate && self.size < self.client_size {
            // Gives back what was reserved and not used.
            self.file.set_len(self.size)?;
        }
        Ok(())
    }

    /// Gives the file its final name, once its bytes are durable.
    pub(super) fn publish(self) -> Result<(), WriteError> {
        let Self {
            shared,
            file,
            path,
            place,
            size,
            ..
        } = &self;
        let config = &shared.config;
        place.make_dir(&config.data_dir, &shared.fresh_dirs)?;
        let published = place.path(&config.data_dir);
        match place::rename_new(path, &published) {
            // Another user of the directory may have put another file, or a link, in its place.
            Ok(()) if !temp::is_at(file, &published)? => {
                return Err(WriteError::new(
                    WriteErrorKind::Failed,
                    "another file was put in the place of the one under way",
                ));
            }
            Ok(()) => shared.usage.shrink(*size),
            // An earlier close, or the connection that took the upload over, was here first.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && place.size(&config.data_dir)? == Some(*size) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
