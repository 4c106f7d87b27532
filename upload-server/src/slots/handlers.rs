//! The application's closures: their types, and how they are called.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

use upload_core::Amendment;
use upload_proto::Code;
use upload_writers::UploadFacts;

use super::{
    answer::Denial,
    slot::{AuthorizeRequest, CompletedEntry},
    timeouts,
};

/// A future on the heap that can move between threads.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers whether an upload is welcome, in bounded time; [`question`] makes one.
pub(crate) type Authorize =
    Arc<dyn Fn(AuthorizeRequest) -> BoxFuture<Result<(), Denial>> + Send + Sync>;

/// Runs when a file of a slot is stored.
pub(crate) type OnComplete = Arc<dyn Fn(CompletedEntry) -> BoxFuture<()> + Send + Sync>;

/// Chooses the folder of a file.
pub(crate) type FolderOf = Arc<dyn Fn(&str, &UploadFacts) -> String + Send + Sync>;

/// Asks for the folder of a file; a closure that panics chooses one that the writer refuses.
pub(crate) fn folder_of(folder: &FolderOf, facts: &UploadFacts) -> String {
    let chosen = catch_unwind(AssertUnwindSafe(|| folder(&facts.owner, facts)));
    chosen.unwrap_or_else(|_| {
        tracing::error!(slot = facts.slot, "the closure of a folder panicked");
        String::new()
    })
}

/// Makes what is asked about uploads; one that panics or takes too long says no.
pub(crate) fn question<F, R>(ask: F) -> Authorize
where
    F: Fn(AuthorizeRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Denial>> + Send + 'static,
{
    let ask = Arc::new(ask);
    Arc::new(move |request: AuthorizeRequest| {
        let ask = Arc::clone(&ask);
        Box::pin(async move {
            // The closure itself may panic before there is a future.
            let answer = timeouts::of_authorize(async move { ask(request).await }).await;
            answer.unwrap_or_else(|why| {
                tracing::error!(why, "an authorize closure did not answer");
                Err(Denial::Refused(Code::Forbidden.into()))
            })
        })
    })
}

/// Joins what a slot asks with what the server asks for every slot: both have to agree, each within a separate limit.
pub(crate) fn both(first: Option<Authorize>, second: &Authorize) -> Authorize {
    let second = Arc::clone(second);
    let Some(first) = first else {
        return second;
    };
    Arc::new(move |request: AuthorizeRequest| {
        let (first, second) = (Arc::clone(&first), Arc::clone(&second));
        Box::pin(async move {
            first(request.clone()).await?;
            second(request).await
        })
    })
}

/// Makes one handler of two; the second runs once the first returned.
pub(crate) fn one_after_the_other(first: Option<OnComplete>, second: &OnComplete) -> OnComplete {
    let second = Arc::clone(second);
    let Some(first) = first else {
        return second;
    };
    Arc::new(move |completed: CompletedEntry| {
        let (first, second) = (Arc::clone(&first), Arc::clone(&second));
        Box::pin(async move {
            first(completed.clone()).await;
            second(completed).await;
        })
    })
}

/// Asks the application whether an upload is welcome, and returns as what.
pub(crate) async fn ask(ask: Authorize, request: AuthorizeRequest) -> Result<Amendment, Denial> {
    let asked = request.clone();
    ask(asked).await.map(|()| request.take_amendment())
}

/// Tells handlers of a stored file, one after another; one that panics or takes too long does not
/// keep it from the others.
pub(crate) async fn tell(handlers: Vec<OnComplete>, completed: CompletedEntry) {
    for handler in handlers {
        let completed = completed.clone();
        let upload = completed.entry.upload_ref();
        // The closure itself may panic before there is a future.
        if let Err(why) = timeouts::of_handler(async move { handler(completed).await }).await {
            tracing::error!(%upload, why, "a completion handler is given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use serde_json::{Map, Value};
    use tokio::time::{Instant, sleep};
    use upload_core::{AuthorizeStage, Entry, EntryId, EntryStatus};
    use upload_proto::UploadRef;

    use super::{super::entry::UploadedEntry, *};

    fn stored() -> CompletedEntry {
        let entry = Entry {
            id: EntryId(1),
            upload: UploadRef::from_bytes([1; 16]),
            slot: "slot".into(),
            client_name: "a.txt".to_owned(),
            stored_name: None,
            folder: None,
            client_type: String::new(),
            length: upload_core::Length::Known(1),
            ends_by_word: false,
            relative_path: None,
            last_modified: None,
            meta: Map::new(),
            resumable: false,
            bytes_received: 1,
            status: EntryStatus::Complete,
            words: None,
            result: Some(Value::Null),
            crc32c: None,
        };
        CompletedEntry {
            owner: "owner".to_owned(),
            entry: UploadedEntry::new(entry, None),
        }
    }

    /// Says yes after so long.
    fn yes_after(time: Duration) -> Authorize {
        question(move |_| async move {
            sleep(time).await;
            Ok(())
        })
    }

    async fn is_let_in(authorize: Authorize) -> bool {
        let request = AuthorizeRequest {
            stage: AuthorizeStage::Complete,
            owner: "owner".to_owned(),
            slot: "slot".to_owned(),
            client_name: String::new(),
            safe_client_name: String::new(),
            client_type: String::new(),
            client_size: Some(1),
            relative_path: None,
            meta: Map::new(),
            amendment: Arc::default(),
        };
        ask(authorize, request).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_hangs_takes_no_time_from_the_sign_in() {
        // As a deciding hook does that accepts without an answer.
        let hook = yes_after(Duration::from_secs(8));
        let sign_in = yes_after(Duration::from_millis(2_500));
        assert!(is_let_in(both(Some(Arc::clone(&hook)), &sign_in)).await);
        let never = yes_after(Duration::MAX);
        let began = Instant::now();
        assert!(!is_let_in(both(Some(hook), &never)).await);
        assert_eq!(began.elapsed().as_secs(), 18, "each has ten seconds");
        let panics =
            question(|_| -> BoxFuture<Result<(), Denial>> { panic!("before there is a future") });
        assert!(!is_let_in(both(Some(sign_in), &panics)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_completion_handler_keeps_nothing_from_the_others() {
        let told = Arc::new(Mutex::new(0));
        let counts: OnComplete = {
            let told = Arc::clone(&told);
            Arc::new(move |_| {
                *told.lock().expect("nobody panics here") += 1;
                Box::pin(async {})
            })
        };
        let panics: OnComplete = Arc::new(|_| panic!("before there is a future"));
        let panics_later: OnComplete = Arc::new(|_| Box::pin(async { panic!("in the future") }));
        let hangs: OnComplete = Arc::new(|_| Box::pin(std::future::pending()));
        for handler in [panics, panics_later, hangs] {
            tell(vec![handler, Arc::clone(&counts)], stored()).await;
        }
        assert_eq!(*told.lock().expect("nobody panics here"), 3);
    }
}
