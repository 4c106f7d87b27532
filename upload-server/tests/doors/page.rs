//! Pages whose network lets no WebSocket through, and uploads that go from one protocol to another.

use serde_json::{Value, json};
use upload_server::Door;
use uuid::Uuid;

use crate::{
    client::Client,
    wire::{Answer, LAST, MORE, Server, files, pattern},
};

const SLOTS: &str = "/uploads/slots";
const REGISTER: &str = "/uploads/files";
const TAB: (&str, &str) = ("upload-client-id", "tab");

/// A page: its cookie, and its requests.
struct Page<'a> {
    server: &'a Server,
    cookie: String,
}

impl<'a> Page<'a> {
    async fn open(server: &'a Server) -> Self {
        let answer = server.ask("GET", SLOTS, &[], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        Self { server, cookie }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let own = [("cookie", &*self.cookie), TAB];
        let all = [&own[..], headers].concat();
        self.server.ask(method, path, &all, body).await
    }

    async fn register(&self, upload: Uuid, slot: &str, size: usize) -> Answer {
        let message = json!({
            "type": "upload_register", "ref": upload.to_string(), "upload_name": slot, "client_name": "a b.bin",
            "client_type": "application/octet-stream", "client_size": size, "client_id": "tab",
            "relative_path": "d/a b.bin", "meta": { "album": 7 },
        });
        let json = ("content-type", "application/json");
        self.ask("POST", REGISTER, &[json], message.to_string().as_bytes())
            .await
    }

    async fn append(
        &self,
        upload: Uuid,
        at: usize,
        headers: &[(&str, &str)],
        data: &[u8],
    ) -> Answer {
        let path = path_of(upload);
        let at = at.to_string();
        let kind = ("content-type", "application/partial-upload");
        let all = [&[kind, ("upload-offset", &at)][..], headers].concat();
        self.ask("PATCH", &path, &all, data).await
    }

    async fn socket(&self) -> Client {
        let url = format!("ws://{}/uploads/ws", self.server.address);
        let client = Client::connect_as(&url, &self.cookie, true).await;
        client.expect("a socket")
    }
}

fn path_of(upload: Uuid) -> String {
    format!("/uploads/files/files/{upload}")
}

fn digest(data: &[u8]) -> String {
    let sum = crc32c::crc32c(data).to_be_bytes();
    format!("crc32c=:{}:", base64_simd::STANDARD.encode_to_string(sum))
}

/// PAGE-1: a page hears what its socket would have said first, and is someone from then on.
#[tokio::test]
async fn page_1_the_slots_are_those_of_the_socket() {
    let server = Server::with(|it| it.allow_upload("tus-only", files().doors([Door::Tus]))).await;
    let page = Page::open(&server).await;
    let answer = page.ask("GET", SLOTS, &[], b"").await;
    assert_eq!(answer.header("set-cookie"), None, "it has its cookie");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut told = page.socket().await.configs;
    let slots = told["upload_configs"].as_object_mut().expect("the slots");
    slots
        .remove("tus-only")
        .expect("a slot that takes no such requests");
    assert_eq!(answer.json(), told);
    assert_eq!(page.ask("POST", SLOTS, &[], b"").await.status, 405);
}

/// PAGE-2, PAGE-4: a registration as over a socket, under the page's ref; the end has the file's checksum.
#[tokio::test]
async fn page_2_an_upload_is_registered_by_the_message_of_a_socket() {
    let server = Server::start().await;
    let page = Page::open(&server).await;
    let (upload, data) = (Uuid::new_v4(), pattern(100_000));
    let answer = page.register(upload, "files", data.len()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some(&*path_of(upload)));
    let told = answer.json();
    assert_eq!(told["ref"], upload.to_string());
    assert_eq!(told["resumable"], true);
    assert!(told["chunk_size"].is_u64() && told["expires_in"].is_u64());
    let answer = page.append(upload, 0, &[MORE], &data[..70_000]).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let sum = digest(&data);
    let headers = [LAST, ("repr-digest", &*sum)];
    let answer = page.append(upload, 70_000, &headers, &data[70_000..]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["name"], "a b.bin");
    assert_eq!(server.stored(), [&*data]);
    // The answer was lost.
    let answer = page.append(upload, data.len(), &headers, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // An empty file is stored with its registration.
    let empty = Uuid::new_v4();
    assert_eq!(page.register(empty, "files", 0).await.status, 201);
    let sum = digest(b"");
    let headers = [LAST, ("repr-digest", &*sum)];
    assert_eq!(page.append(empty, 0, &headers, b"").await.status, 200);
    assert_eq!(server.stored().len(), 2);
}

/// PAGE-2, R7: what a page registered waits for its last word, even if it is asked about.
#[tokio::test]
async fn page_2_a_question_is_no_last_word() {
    let server = Server::start().await;
    let page = Page::open(&server).await;
    let upload = Uuid::new_v4();
    assert_eq!(page.register(upload, "files", 3).await.status, 201);
    assert_eq!(page.append(upload, 0, &[MORE], b"abc").await.status, 204);
    let head = page.ask("HEAD", &path_of(upload), &[], b"").await;
    assert_eq!((head.status, head.number("upload-offset")), (200, 3));
    assert_eq!(head.header("upload-complete"), Some("?0"), "{head:?}");
    assert!(server.stored().is_empty());
    assert_eq!(page.append(upload, 3, &[LAST], b"").await.status, 200);
    assert_eq!(server.stored(), [b"abc"]);
}

/// PAGE-2: refusals are those of a socket, in words.
#[tokio::test]
async fn page_2_a_registration_is_refused_in_words() {
    let server = Server::start().await;
    let page = Page::open(&server).await;
    for (slot, size, status, code) in [
        ("nothing", 3, 404, "unknown_slot"),
        ("files", 50_000_001, 413, "too_large"),
        ("pictures", 3, 415, "type_not_accepted"),
    ] {
        let answer = page.register(Uuid::new_v4(), slot, size).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("upload-code"), Some(code));
        assert_eq!(answer.json()["code"], code);
        assert!(answer.json()["error"].is_string());
    }
    let json = ("content-type", "application/json");
    let long = format!(
        "{{\"type\":\"upload_register\",\"x\":\"{}\"}}",
        "x".repeat(70_000)
    );
    for bad in ["", "{}", "{\"type\":\"ping\"}", "\u{fffd}", &*long] {
        let answer = page.ask("POST", REGISTER, &[json], bad.as_bytes()).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert_eq!(page.ask("GET", REGISTER, &[], b"").await.status, 405);
    let elsewhere = [json, ("origin", "https://evil.example")];
    let answer = page.ask("POST", REGISTER, &elsewhere, b"{}").await;
    assert_eq!(answer.status, 403);
    assert!(server.stored().is_empty());
}

/// PAGE-3: a socket takes over what the same page sent by requests, at once, and the other way round.
#[tokio::test]
async fn page_3_a_page_takes_its_uploads_from_line_to_line() {
    let server = Server::start().await;
    let page = Page::open(&server).await;
    let (upload, data) = (Uuid::new_v4(), pattern(300_000));
    assert_eq!(page.register(upload, "files", data.len()).await.status, 201);
    let answer = page.append(upload, 0, &[MORE], &data[..100_001]).await;
    assert_eq!(answer.status, 204, "{answer:?}");

    let mut socket = page.socket().await;
    let resume = |client: &str| json!({ "type": "upload_resume", "ref": upload.to_string(), "client_id": client });
    socket.send(resume("another tab")).await;
    let told = socket.next().await;
    assert_eq!(told["status"], "locked", "{told}");
    socket.send(resume("tab")).await;
    let told = socket.next().await;
    assert_eq!(told["status"], "resumed", "{told}");
    assert_eq!(told["bytes_received"], 100_001);
    let chunk = told["chunk_size"].as_u64().expect("a size");
    let chunk = usize::try_from(chunk).expect("a size");
    let index = u32::try_from(told["next_index"].as_u64().expect("an index")).expect("an index");
    let next = 100_001..100_001 + chunk.min(65_536);
    socket.chunk(upload, index, &data[next.clone()]).await;
    socket
        .until(|told| told["bytes_received"] == next.end)
        .await;

    let head = page
        .ask(
            "HEAD",
            &path_of(upload),
            &[("upload-draft-interop-version", "8")],
            b"",
        )
        .await;
    assert_eq!(head.status, 204, "{head:?}");
    assert_eq!(head.number("upload-offset"), next.end);
    let told = socket.until(|told| told["detached"] == true).await;
    assert_eq!(told["code"], "superseded", "{told}");
    let sum = digest(&data);
    let headers = [LAST, ("repr-digest", &*sum)];
    let answer = page
        .append(upload, next.end, &headers, &data[next.end..])
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.stored(), [data]);
}

/// PAGE-4: a file whose checksum is not the page's is none.
#[tokio::test]
async fn page_4_another_checksum_ends_the_upload() {
    let server = Server::start().await;
    let page = Page::open(&server).await;
    let upload = Uuid::new_v4();
    assert_eq!(page.register(upload, "files", 3).await.status, 201);
    let sum = digest(b"abd");
    let headers = [LAST, ("repr-digest", &*sum)];
    let answer = page.append(upload, 0, &headers, b"abc").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.json()["code"], "checksum_mismatch");
    assert_eq!(answer.json()["retry"], "restart");
    assert!(server.stored().is_empty());
}

/// PAGE-5, T35, R17: what the application has not taken can be removed; what it has stays.
#[tokio::test]
async fn page_5_a_finished_upload_that_waits_is_deleted() {
    let server = Server::with(|it| it.owner(|_| Ok(Some("alice".to_owned())))).await;
    let store = async || {
        let answer = server
            .ask("POST", "/uploads/files/files", &[], b"abc")
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let told: Value = answer.json();
        let upload = told["ref"].as_str().expect("a ref").to_owned();
        (
            answer.header("location").expect("a location").to_owned(),
            upload,
        )
    };
    let (path, _) = store().await;
    assert_eq!(server.stored().len(), 1);
    assert_eq!(server.tus("DELETE", &path, &[], b"").await.status, 204);
    assert!(server.stored().is_empty());
    assert_eq!(server.tus("HEAD", &path, &[], b"").await.status, 410);
    let (path, upload) = store().await;
    let lent = server.uploads.lend("alice", upload.parse().expect("a ref"));
    let lent = lent.await.expect("it waits");
    assert_eq!(
        server.tus("DELETE", &path, &[], b"").await.status,
        423,
        "it is lent"
    );
    lent.take().await.expect("lent");
    assert_eq!(server.tus("DELETE", &path, &[], b"").await.status, 403);
    let draft = [("upload-draft-interop-version", "8")];
    assert_eq!(server.ask("DELETE", &path, &draft, b"").await.status, 404);
}

/// One upload begun with tus, continued over a socket and finished in the words of the draft.
#[tokio::test]
async fn an_upload_goes_from_protocol_to_protocol() {
    let server = Server::start().await;
    let page = Page::open(&server).await;
    let data = pattern(200_000);
    let length = data.len().to_string();
    let tus = ("tus-resumable", "1.0.0");
    let headers = [tus, ("upload-length", &*length)];
    let answer = page
        .ask("POST", "/uploads/files/files", &headers, b"")
        .await;
    let path = answer.header("location").expect("a location").to_owned();
    let upload: Uuid = path
        .rsplit('/')
        .next()
        .expect("a ref")
        .parse()
        .expect("a ref");
    let headers = [
        tus,
        ("content-type", "application/offset+octet-stream"),
        ("upload-offset", "0"),
    ];
    let answer = page.ask("PATCH", &path, &headers, &data[..50_000]).await;
    assert_eq!(answer.status, 204, "{answer:?}");

    let mut socket = page.socket().await;
    let resume = json!({ "type": "upload_resume", "ref": upload.to_string(), "client_id": "tab" });
    socket.send(resume).await;
    let told = socket.next().await;
    assert_eq!(told["bytes_received"], 50_000, "{told}");
    let index = u32::try_from(told["next_index"].as_u64().expect("an index")).expect("an index");
    socket.chunk(upload, index, &data[50_000..60_000]).await;
    socket.until(|told| told["bytes_received"] == 60_000).await;
    drop(socket);

    let answer = page.append(upload, 60_000, &[LAST], &data[60_000..]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.stored(), [data]);
}
