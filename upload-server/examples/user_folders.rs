//! An axum app with a sign-in, where each user's files go into a folder of their own.
//!
//! `cargo run -p upload-server --example user_folders`, then open <http://127.0.0.1:3000> and sign in
//! as `alice` or `bob` with the password `secret`.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

use axum::{
    Extension, Form, Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{Html, Redirect, Response},
    routing::{get, post},
};
use axum_extra::extract::{
    SignedCookieJar,
    cookie::{Cookie, Key, SameSite},
};
use serde::Deserialize;
use tokio::net::TcpListener;
use upload_server::{BuildError, SlotOptions, Unauthenticated, Uploads, terminated};
use upload_writers::{FileWriterConfig, FileWriterFactory};

const SIGN_IN: &str = r#"<!doctype html>
<title>Sign in</title>
<form method="post" action="/sign-in">
  <input name="name" placeholder="alice or bob">
  <input name="password" type="password" placeholder="secret">
  <button>Sign in</button>
</form>"#;

const DOCUMENTS: &str = r#"<!doctype html>
<title>Documents</title>
<script type="module" src="/uploads/client/index.js"></script>
<div dj-upload-drop="documents">
  <input type="file" dj-upload="documents">
</div>
<ul dj-upload-progress="documents"></ul>"#;

/// Who is signed in, as the middleware found out.
#[derive(Clone)]
struct User(String);

/// Makes the app; files end as `<dir>/files/<user>/documents/<uuid>-<safe name>`.
pub(crate) fn app(dir: &Path) -> Result<(Router, Uploads), BuildError> {
    let files = dir.join("files");
    let folders = Mutex::new(HashMap::new());
    let uploads = Uploads::builder()
        .data_dir(&files)
        .owner(|request| match request.extensions.get::<User>() {
            Some(user) => Ok(Some(user.0.clone())),
            None => Err(Unauthenticated),
        })
        // Every connection gets its own slot of this name below. Named here, what a crash left
        // in the directory for files under way, which all users share, is removed.
        .allow_upload("documents", SlotOptions::new())
        .mount(move |connection| {
            // Making a folder blocks on the disk, so it is done once for each user.
            let user = connection.owner();
            let mut folders = folders.lock().unwrap_or_else(PoisonError::into_inner);
            let folder = match folders.get(user) {
                Some(folder) => FileWriterFactory::clone(folder),
                None => {
                    // Names come from our own table; made of anything else they would not be paths.
                    let mut folder = FileWriterConfig::new(files.join(user));
                    folder.temp_dir = files.join(".tmp");
                    let folder = FileWriterFactory::new(folder).map_err(BuildError::Files)?;
                    folders.insert(user.to_owned(), folder.clone());
                    folder
                }
            };
            let documents = SlotOptions::new().accept(".pdf,.txt").max_entries(10);
            connection.allow_upload("documents", documents.writer(folder))
        })
        .build()?;
    let key = Key::generate();
    let app = Router::new()
        .route("/", get(home))
        .route("/sign-in", post(sign_in))
        .with_state(key.clone())
        .nest("/uploads", uploads.router())
        .layer(from_fn_with_state(key, recognise));
    Ok((app, uploads))
}

async fn home(user: Option<Extension<User>>) -> Html<&'static str> {
    Html(if user.is_some() { DOCUMENTS } else { SIGN_IN })
}

#[derive(Deserialize)]
struct SignIn {
    name: String,
    password: String,
}

/// An application asks its database here, and compares a hash.
async fn sign_in(
    jar: SignedCookieJar,
    Form(form): Form<SignIn>,
) -> Result<(SignedCookieJar, Redirect), StatusCode> {
    if !["alice", "bob"].contains(&form.name.as_str()) || form.password != "secret" {
        return Err(StatusCode::FORBIDDEN);
    }
    let cookie = Cookie::build(("user", form.name))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax);
    Ok((jar.add(cookie), Redirect::to("/")))
}

/// Puts the user into the request, where `owner` finds it.
async fn recognise(State(key): State<Key>, mut request: Request, next: Next) -> Response {
    let jar = SignedCookieJar::from_headers(request.headers(), key);
    if let Some(cookie) = jar.get("user") {
        let user = User(cookie.value().to_owned());
        request.extensions_mut().insert(user);
    }
    next.run(request).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, uploads) = app(Path::new("."))?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        stop = terminated() => stop?,
    }
    uploads.shutdown().await;
    Ok(())
}
