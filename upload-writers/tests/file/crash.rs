//! RESUME-2, RESUME-6: a file whose bytes the system may have lost is compared before it is believed.

use std::{fs, os::unix::fs::FileExt};

use serde_json::json;
use upload_writers::{Checkpoint, Durability, Reopened};

use super::{Place, facts, write};

const TEXT: &str = "what was acknowledged before the machine went down";

/// Leaves an upload, makes 4 bytes of its file zeros as a file system may, and changes its checkpoint.
async fn reopened_after(
    durability: Durability,
    is_whole: bool,
    crc32c: Option<u32>,
    change: impl FnOnce(&mut Checkpoint),
) -> bool {
    let place = Place::new(|config| config.durability = durability);
    let mut facts = facts(100, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, TEXT).await;
    writer.flush().await.expect("flushes");
    let mut checkpoint = writer.checkpoint().expect("can be reopened");
    drop(writer);
    if !is_whole {
        let file = fs::OpenOptions::new().write(true).open(place.temp());
        file.expect("opens").write_at(&[0; 4], 8).expect("writes");
    }
    change(&mut checkpoint);
    facts.crc32c_before = crc32c;
    let offset = TEXT.len() as u64;
    match place.reopen(&mut facts, &checkpoint, offset).await {
        Reopened::Open(writer) => {
            let again = writer.checkpoint().expect("can be reopened again");
            drop(writer);
            // It was compared, so it need not be once more.
            facts.crc32c_before = None;
            let again = place.reopen(&mut facts, &again, offset).await;
            assert!(matches!(again, Reopened::Open(_)), "{again:?}");
            true
        }
        Reopened::Gone => false,
        other => panic!("reopened as {other:?}"),
    }
}

fn after_another_boot(checkpoint: &mut Checkpoint) {
    let boot = checkpoint.0["boot"].as_str().expect("names the boot");
    assert!(!boot.is_empty());
    checkpoint.0["boot"] = json!("0a0b0c0d-0000-4000-8000-000000000000");
}

/// Zeros in place of bytes are not published under the checksum of the bytes.
#[tokio::test]
async fn bytes_lost_with_the_system_are_gone() {
    let crc32c = Some(crc32c::crc32c(TEXT.as_bytes()));
    let process = Durability::Process;
    assert!(!reopened_after(process, false, crc32c, after_another_boot).await);
    assert!(reopened_after(process, true, crc32c, after_another_boot).await);
}

/// Where nothing tells what the bytes were, they are not believed.
#[tokio::test]
async fn bytes_without_a_checksum_are_gone_with_the_system() {
    let process = Durability::Process;
    assert!(!reopened_after(process, true, None, after_another_boot).await);
}

/// A checkpoint of before boots were named is of an unknown one.
#[tokio::test]
async fn an_older_checkpoint_is_compared() {
    let crc32c = Some(crc32c::crc32c(TEXT.as_bytes()));
    let forget = |checkpoint: &mut Checkpoint| {
        let fields = checkpoint.0.as_object_mut().expect("an object");
        fields.remove("boot").expect("names the boot");
    };
    let process = Durability::Process;
    assert!(!reopened_after(process, false, crc32c, forget).await);
    assert!(reopened_after(process, true, crc32c, forget).await);
}

/// What a sync made durable, or the system that took it still has, is not read again.
#[tokio::test]
async fn bytes_that_cannot_be_lost_are_not_compared() {
    let wrong = Some(7);
    assert!(reopened_after(Durability::Process, true, wrong, |_| {}).await);
    assert!(reopened_after(Durability::Disk, true, wrong, |_| {}).await);
}

/// So it is with a file that its holder does not let go of: the copy is compared.
#[tokio::test]
async fn a_copy_is_compared() {
    for is_same in [true, false] {
        let place = Place::new(|_| {});
        let mut facts = facts(100, true);
        let mut old = place.opened(&facts).await;
        write(&mut old, TEXT).await;
        let mut checkpoint = old.checkpoint().expect("can be reopened");
        after_another_boot(&mut checkpoint);
        facts.crc32c_before = Some(crc32c::crc32c(TEXT.as_bytes()) ^ u32::from(!is_same));
        let offset = TEXT.len() as u64;
        let reopened = place.reopen(&mut facts, &checkpoint, offset).await;
        let Reopened::Open(mut writer) = reopened else {
            assert!(!is_same && matches!(reopened, Reopened::Gone));
            assert_eq!(place.names(".tmp").len(), 1, "the copy is not kept");
            continue;
        };
        assert!(is_same);
        write(&mut writer, "!").await;
        let result = writer.close().await.expect("closes");
        assert_eq!(place.read(&result), [TEXT.as_bytes(), b"!"].concat());
    }
}
