//! A store in memory that counts parts, and loses answers.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
    memory::InMemory,
    multipart::{MultipartStore, PartId},
    path::Path,
};

/// What the ids of parts look like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Ids {
    #[default]
    Long,
    Short,
    /// Like the entity tags of S3.
    Hashes,
}

impl Ids {
    fn of(self, index: usize) -> String {
        match self {
            Self::Long => format!("{index:01000}"),
            Self::Short => format!("{index:04}"),
            Self::Hashes => format!("\"{index:032x}\""),
        }
    }
}

/// A store in memory that counts parts.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) memory: InMemory,
    pub(crate) puts: AtomicUsize,
    /// Uploads that were begun and neither completed nor aborted.
    pub(crate) open: AtomicUsize,
    pub(crate) ids: Ids,
    /// Objects are made, but the answers to that are lost.
    pub(crate) loses_answers: bool,
    /// Nobody can look for objects.
    pub(crate) is_blind: bool,
    /// As with Azure, uploads have no ids, and an abort does nothing.
    pub(crate) aborts_nothing: bool,
    /// The ids that no one receives then.
    pub(crate) untold: Mutex<BTreeMap<Path, MultipartId>>,
}

impl Counting {
    fn untold(&self) -> MutexGuard<'_, BTreeMap<Path, MultipartId>> {
        self.untold.lock().expect("nothing panics under it")
    }

    /// The id by which the store inside knows an upload.
    fn inner(&self, path: &Path, id: &MultipartId) -> MultipartId {
        self.untold().get(path).unwrap_or(id).clone()
    }

    fn answer(&self, put: PutResult) -> object_store::Result<PutResult> {
        if self.loses_answers {
            Err(lost())
        } else {
            Ok(put)
        }
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic {
        store: "Counting",
        source: "HTTP error: the answer was lost".into(),
    }
}

#[async_trait]
impl MultipartStore for Counting {
    async fn create_multipart(&self, path: &Path) -> object_store::Result<MultipartId> {
        let id = self.memory.create_multipart(path).await?;
        self.open.fetch_add(1, Ordering::SeqCst);
        if self.aborts_nothing {
            self.untold().insert(path.clone(), id);
            return Ok(MultipartId::new());
        }
        Ok(id)
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> object_store::Result<PartId> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        let id = self.inner(path, id);
        self.memory.put_part(path, &id, part_idx, data).await?;
        Ok(PartId {
            content_id: self.ids.of(part_idx),
        })
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> object_store::Result<PutResult> {
        for (index, part) in parts.iter().enumerate() {
            assert_eq!(part.content_id, self.ids.of(index), "ids stand in order");
        }
        let id = self.inner(path, id);
        let put = self.memory.complete_multipart(path, &id, parts).await?;
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.answer(put)
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> object_store::Result<()> {
        if self.aborts_nothing {
            return Ok(());
        }
        self.memory.abort_multipart(path, id).await?;
        self.open.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let put = self.memory.put_opts(path, payload, options).await?;
        self.answer(put)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let upload = self.memory.put_multipart_opts(path, options).await?;
        Ok(Box::new(Plain {
            upload,
            loses_answers: self.loses_answers,
        }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if self.is_blind && options.head {
            return Err(lost());
        }
        self.memory.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.memory.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.memory.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}

/// An upload that has no id.
#[derive(Debug)]
struct Plain {
    upload: Box<dyn MultipartUpload>,
    loses_answers: bool,
}

#[async_trait]
impl MultipartUpload for Plain {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let put = self.upload.complete().await?;
        if self.loses_answers {
            return Err(lost());
        }
        Ok(put)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.upload.abort().await
    }
}

impl std::fmt::Display for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counting")
    }
}
