//! The disk, off the async workers: a file may be on a slow mount.

use std::io;

use crate::secret::{Secret, SecretError, SecretSource};

/// Does what blocks elsewhere. `Err` if that was cut short.
pub(in crate::client) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
}

/// A secret of this machine, as it is now.
pub async fn load(source: &SecretSource) -> Result<Secret, SecretError> {
    match source {
        SecretSource::File(path) => {
            let file = source.clone();
            let loaded = blocking(move || file.load()).await;
            loaded.unwrap_or_else(|cut_short| {
                Err(SecretError::File {
                    path: path.clone(),
                    source: cut_short,
                })
            })
        }
        // the environment and literals block nobody, and what AWS keeps is not here
        SecretSource::Env(_) | SecretSource::Literal(_) | SecretSource::Aws(_) => source.load(),
    }
}
