//! An axum app with a sign-in and a database, where each user's files go into a separate folder.
//!
//! `cargo run -p upload-server --example user_folders`, then open <http://127.0.0.1:3000>.

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::{StatusCode, request::Parts};
use axum::{Form, Json, Router, response::Html, response::Redirect, routing::get, routing::post};
use axum_extra::extract::{SignedCookieJar, cookie::Cookie, cookie::Key};
use sqlx::{SqlitePool, query, query_scalar};
use upload_server::{AsOwner, Entries, HandlerError, LentUpload, Owner};
use upload_server::{SlotOptions, Submitted, Uploads};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Answer<T> = Result<T, StatusCode>;
type Login = Form<std::collections::HashMap<String, String>>;
type Me = Owner<User>;

/// The database, and the key of the cookies.
#[derive(Clone)]
struct Site(SqlitePool, Key);

#[derive(Clone, FromRef)]
struct App(Site, Uploads);

/// The id of who is signed in.
#[derive(Clone)]
struct User(i64);

impl AsOwner for User {
    fn as_owner(&self) -> Option<String> {
        self.0.as_owner()
    }
}

impl FromRequestParts<Site> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Answer<Self> {
        let jar = SignedCookieJar::from_headers(&parts.headers, site.1.clone());
        let id = jar.get("user").and_then(|user| user.value().parse().ok());
        id.map(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// A real application stores no password but its hash.
async fn sign_in(State(site): State<Site>, form: Login) -> Answer<(SignedCookieJar, Redirect)> {
    let id = query_scalar::<_, i64>("SELECT id FROM users WHERE name = ? AND password = ?");
    let id = id.bind(form.get("name")).bind(form.get("password"));
    let id = id.fetch_optional(&site.0).await;
    let id = id.map_err(failed)?.ok_or(StatusCode::FORBIDDEN)?;
    let cookie = Cookie::build(("user", id.to_string())).http_only(true);
    let jar = SignedCookieJar::new(site.1).add(cookie.path("/"));
    Ok((jar, Redirect::to("/")))
}

/// The page's form, over its socket.
async fn publish(site: State<Site>, user: Me, files: Entries) -> Result<(), HandlerError> {
    Ok(keep(&site, user.0, files.of("documents").await?).await?)
}

/// A plain form or a JSON request, which names the uploads.
async fn publish_plain(site: State<Site>, user: Me, form: Submitted<()>) -> Answer<StatusCode> {
    let files = form.of("documents").await.map_err(failed)?;
    keep(&site, user.0, files).await.map_err(failed)?;
    Ok(StatusCode::CREATED)
}

/// If it fails between a row and `take`, the file is lent again under the same id.
async fn keep(site: &Site, user: User, files: Vec<LentUpload>) -> Result<(), Error> {
    for file in files {
        let path = file.path().map(|path| path.display().to_string());
        let row = query("INSERT OR IGNORE INTO documents VALUES (?, ?, ?)").bind(file.take_id());
        row.bind(user.0).bind(path).execute(&site.0).await?;
        file.take().await?;
    }
    Ok(())
}

async fn list(site: State<Site>, user: Me) -> Answer<Json<Vec<String>>> {
    let paths = query_scalar("SELECT path FROM documents WHERE user = ?").bind(user.0.0);
    paths.fetch_all(&site.0.0).await.map(Json).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> StatusCode {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// Makes the app; files end as `<dir>/files/<user's id>/documents/<uuid>-<safe name>`.
pub(crate) async fn app(dir: &std::path::Path) -> Result<(Router, Uploads), Error> {
    let db = SqlitePool::connect(&format!("sqlite:{}/app.db?mode=rwc", dir.display())).await?;
    let schema = include_str!("user_folders/schema.sql");
    sqlx::raw_sql(schema).execute(&db).await?;
    let site = Site(db, Key::generate());
    let slot = SlotOptions::new().accept(".pdf,.txt").max_entries(10);
    let uploads = Uploads::builder()
        .data_dir(dir.join("files"))
        .allow_upload("documents", slot.folder(|user, _| user.to_owned()))
        .with_state(site.clone())
        .owner_from::<User>()
        .handle_event("publish", publish)
        .build()?;
    let app = Router::new()
        .route("/", get(Html(include_str!("user_folders/page.html"))))
        .route("/sign-in", post(sign_in))
        .route("/documents", get(list).post(publish_plain))
        .with_state(App(site, uploads.clone()))
        .nest("/files", uploads.owned_files(["documents"], str::to_owned)?)
        .nest("/uploads", uploads.router());
    Ok((app, uploads))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let dir = tempfile::tempdir()?;
    let (app, uploads) = app(dir.path()).await?;
    println!("http://127.0.0.1:3000");
    let server = axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app);
    Ok(server.with_graceful_shutdown(uploads.terminated()).await?)
}
