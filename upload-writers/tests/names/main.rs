//! Names that were judged, and under which they are stored.

use proptest::prelude::*;
use upload_validate::{NAME_BYTES_MAX, is_active, safe_name};
use upload_writers::{
    AbortReason, FileWriterConfig, FileWriterFactory, UploadFacts, WriterFactory,
    conformance::facts,
    testing::{file_checkpoint, object},
};

/// The longest prefix a bucket's keys may begin with.
const PREFIX_BYTES_MAX: usize = 512;

/// What follows the UUID in the name of a file, and in a key.
fn stored(raw: &str) -> [String; 2] {
    let mut facts = facts(1, 1);
    facts.safe_client_name = safe_name(raw).into_string();
    let prefix = "p".repeat(PREFIX_BYTES_MAX - 1) + "/";
    let names = [in_a_directory(&facts), object(&prefix, &facts).key];
    names.map(|path| {
        let name = path.rsplit('/').next().expect("a last component");
        name.get(37..).expect("a UUID and a hyphen").to_owned()
    })
}

fn in_a_directory(facts: &UploadFacts) -> String {
    let dir = tempfile::tempdir().expect("temp dir");
    let factory = FileWriterFactory::new(FileWriterConfig::new(dir.path())).expect("sets up");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let writer = factory.create(facts).await.expect("creates");
        let checkpoint = writer.checkpoint().expect("can be reopened");
        writer.abort(&AbortReason::Cancelled).await;
        let names = file_checkpoint(&checkpoint, facts);
        names.expect("is its own").1
    })
}

/// AC-9: a cut that the check did not see would make this a page.
#[test]
fn no_cut_makes_a_page() {
    for len in 150..260 {
        let raw = format!("{}.html{}", "a".repeat(len), "z".repeat(29));
        let judged = is_active(&raw, "image/png");
        for name in stored(&raw) {
            assert_eq!(is_active(&name, "image/png"), judged, "{name}");
        }
    }
}

proptest! {
    /// AC-9: whatever the client calls a file, it is stored under the very name that was judged.
    #[test]
    fn a_name_is_stored_as_it_was_judged(
        raw in "[a-z.é]{0,260}(\\.html|\\.svg\\.gz|\\.png|)[a-zé]{0,80}(\\.gz|\\.png|)",
    ) {
        let safe = safe_name(&raw);
        prop_assert!(safe.len() <= NAME_BYTES_MAX);
        for name in stored(&raw) {
            prop_assert_eq!(&name, safe.as_str());
        }
    }
}
