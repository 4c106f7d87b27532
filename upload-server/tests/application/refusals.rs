//! Refusals in words of the application (MSG-4).

use upload_server::{
    AuthorizeStage, HandlerError, SlotOptions,
    testing::{TestClient, TestError},
    validate::{FileFacts, Head, OwnRefusal, Verdict},
};

use crate::app;

/// Refuses by name at each moment, and by the first bytes.
fn strict() -> crate::App {
    let judge = |_: &FileFacts<'_>, head: &Head<'_>| match head.bytes {
        [b'#', ..] => OwnRefusal::new("No headings, please")
            .with_code("no_headings")
            .into(),
        _ => Verdict::Accept,
    };
    app(|builder| {
        let strict = SlotOptions::new()
            .accept(".txt")
            .max_entries(9)
            .validator(judge)
            .authorize(
                async |request| match (request.stage, &*request.client_name) {
                    (AuthorizeStage::Register, "plan.txt") => {
                        Err(HandlerError::new("Your plan has no uploads").with_code("upgrade"))
                    }
                    (AuthorizeStage::Complete, "late.txt") => {
                        Err(HandlerError::new("x".repeat(2000)))
                    }
                    (AuthorizeStage::Register, "broken.txt") => {
                        std::fs::read("/no/such/secret/file")?;
                        Ok(())
                    }
                    _ => Ok(()),
                },
            );
        let no = SlotOptions::new().authorize(async |_| false);
        builder
            .allow_upload("strict", strict)
            .allow_upload("no", no)
    })
}

async fn refused(client: &mut TestClient, slot: &str, name: &str, bytes: &str) -> (String, String) {
    let refused = client.upload(slot, name, bytes).await;
    match refused.expect_err(name) {
        TestError::Refused { code, text } => (code, text),
        other => panic!("{name}: {other}"),
    }
}

#[tokio::test]
async fn msg_4_closures_and_validators_refuse_in_their_own_words() {
    let mut app = strict();
    let client = &mut app.client;
    let (upgrade, headings) = ("Your plan has no uploads", "No headings, please");
    let long = "x".repeat(1024);
    for (slot, name, bytes, code, text) in [
        ("strict", "plan.txt", "a", "upgrade", upgrade),
        ("strict", "a.txt", "# A", "no_headings", headings),
        ("strict", "late.txt", "a", "forbidden", &long),
        // What failed is not told.
        ("strict", "broken.txt", "a", "forbidden", "Not allowed"),
        ("no", "a.txt", "a", "forbidden", "Not allowed"),
    ] {
        let told = refused(client, slot, name, bytes).await;
        assert_eq!(told, (code.to_owned(), text.to_owned()), "{name}");
    }
    let stored = client.upload("strict", "a.txt", "a").await;
    stored.expect("stored on the same connection");
}
