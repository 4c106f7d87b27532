//! Judges every file of a folder as an upload slot would, and prints a table.
//!
//! `cargo run -p upload-validate --example validate_folder -- [--accept LIST] [--allow-active] [FOLDER]`
//!
//! Without a folder it makes a small one with honest and dishonest files.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use upload_validate::{
    Accept, FileFacts, HEAD_BYTES, Head, Rules, Verdict, extension, media_type_for_extension,
    safe_name,
};

/// Bytes that are read at a time, as small as that to show early verdicts.
const READ_BYTES: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut accept = ".jpg,.jpeg,.png,.pdf,.txt".to_owned();
    let mut allow_active = false;
    let mut folder = None;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--accept" => accept = arguments.next().ok_or("--accept needs a list")?,
            "--allow-active" => allow_active = true,
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let (folder, is_sample) = match folder {
        Some(folder) => (folder, false),
        None => (make_sample()?, true),
    };
    let rules = Rules::new(Accept::parse(&accept)?).allow_active_content(allow_active);

    println!("accept {}   folder {}\n", rules.accept, folder.display());
    println!(
        "{:<28} {:<24} {:>6}  verdict",
        "name", "stored as", "looked"
    );
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths.iter().filter(|path| path.is_file()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (verdict, looked) = judge(&rules, path, &name)?;
        let verdict = match verdict {
            Verdict::Accept => "accepted".to_owned(),
            Verdict::Refuse(refusal) => format!("refused: {refusal}"),
            Verdict::NeedMore => "undecided".to_owned(),
        };
        println!(
            "{:<28} {:<24} {looked:>6}  {verdict}",
            format!("{name:?}"),
            safe_name(&name)
        );
    }
    if is_sample {
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// Reads a file until the verdict is certain; answers with the bytes that took.
fn judge(rules: &Rules, path: &Path, name: &str) -> Result<(Verdict, usize), Box<dyn Error>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    // A browser declares what its system says about the extension.
    let media_type = extension(name)
        .and_then(media_type_for_extension)
        .unwrap_or_default();
    if let Err(refusal) = rules.screen(name, media_type) {
        return Ok((Verdict::Refuse(refusal), 0));
    }
    let facts = FileFacts {
        name,
        media_type,
        size,
    };
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    loop {
        let read = file
            .by_ref()
            .take(READ_BYTES as u64)
            .read_to_end(&mut bytes)?;
        let head = Head {
            bytes: &bytes,
            is_whole: read < READ_BYTES,
        };
        match rules.inspect(&facts, &head) {
            Verdict::NeedMore => {}
            verdict => return Ok((verdict, bytes.len())),
        }
    }
}

fn make_sample() -> Result<PathBuf, Box<dyn Error>> {
    let folder = env::temp_dir().join(format!("validate-folder-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let files: &[(&str, &[u8])] = &[
        ("photo.jpg", b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01"),
        (
            "renamed program.jpg",
            b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF\0\0",
        ),
        ("chart.PNG", b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR"),
        ("report.pdf ", b"%PDF-1.7\n"),
        ("notes.txt", b"Use <html> with care.\n"),
        (
            "page.txt",
            b"\xEF\xBB\xBF\n<!-- hello -->\n<html><script>alert(1)</script>",
        ),
        ("logo.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("empty.txt", b""),
        ("con.txt", b"A device on Windows.\n"),
        ("-rf.txt", b"An option to a shell.\n"),
        ("tool.exe", b"MZ\x90\0"),
    ];
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(folder)
}
