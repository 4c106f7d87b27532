//! Files of real tools that were refused somewhere: each row is a public report, or a kind of them.

use upload_validate::{Accept, FileFacts, Head, Refusal, Rules, Verdict};

const PDF: &[u8] = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n";
const MP3: &[u8] = b"\xFF\xFB\x90\x64\0\0\0\0\0\0\0\0\0\0\0\0";
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0";
const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";
const PS: &[u8] = b"%!PS-Adobe-3.0\n";

const PASS: Verdict = Verdict::Accept;
const MISMATCH: Verdict = Verdict::Refuse(Refusal::ContentMismatch);
const ACTIVE: Verdict = Verdict::Refuse(Refusal::ActiveContent);

fn inspect(list: &str, name: &str, media_type: &str, bytes: &[u8]) -> Verdict {
    let facts = FileFacts {
        name,
        media_type,
        size: bytes.len() as u64,
    };
    let rules = Rules::new(Accept::parse(list).expect("well formed"));
    rules.inspect(
        &facts,
        &Head {
            bytes,
            is_whole: true,
        },
    )
}

fn check(list: &str, name: &str, media_type: &str, bytes: &[u8], expected: Verdict) {
    let shown: String = String::from_utf8_lossy(bytes).chars().take(24).collect();
    let verdict = inspect(list, name, media_type, bytes);
    assert_eq!(
        verdict, expected,
        "{name} as {media_type:?} into {list:?}: {shown:?}"
    );
}

/// Illustrator writes PDF; payload#6348, rails/marcel#94.
#[test]
fn illustrator_files_are_pdf_or_postscript() {
    for list in ["", ".ai", "application/postscript"] {
        check(list, "logo.ai", "application/postscript", PDF, PASS);
        check(list, "logo.ai", "application/postscript", PS, PASS);
        check(list, "logo.ai", "", b"MZ\x90\0", MISMATCH);
    }
}

/// bojand/infer#117, comp#3251, file-type#228.
#[test]
fn a_pdf_may_begin_within_1024_bytes() {
    for before in [
        b"".as_slice(),
        b"\xEF\xBB\xBF",
        b"\r\n",
        &[0; 16],
        b"\x1B%-12345X@PJL ENTER LANGUAGE=PDF\r\n",
        b"--x\r\nContent-Type: application/pdf\r\n\r\n",
        &[0xAA; 200],
        &[b' '; 1020],
    ] {
        check(
            ".pdf",
            "a.pdf",
            "application/pdf",
            &[before, PDF].concat(),
            PASS,
        );
    }
    for before in [
        b"<html><script>alert(1)</script>".as_slice(),
        b"MZ\x90\0",
        b"PK\x03\x04",
        b"#!/bin/sh\n",
        &[b' '; 1021],
    ] {
        check(
            ".pdf",
            "a.pdf",
            "application/pdf",
            &[before, PDF].concat(),
            MISMATCH,
        );
    }
}

/// Printers are sent more than PostScript.
#[test]
fn postscript_may_follow_what_printers_are_sent() {
    for before in [
        b"".as_slice(),
        b"\x04",
        b"\x1B%-12345X@PJL ENTER LANGUAGE=POSTSCRIPT\r\n",
    ] {
        let bytes = [before, PS].concat();
        check(".ps", "a.ps", "application/postscript", &bytes, PASS);
    }
    check(".ps", "a.ps", "", b"%!<script>", MISMATCH);
}

/// getID3#405, sillsdev/web-xforge#1945.
#[test]
fn players_skip_what_comes_before_the_first_frame() {
    let riff = [b"RIFF\x20\0\0\0WAVEfmt ".as_slice(), MP3].concat();
    for bytes in [
        MP3.to_vec(),
        [&[0; 417], MP3].concat(),
        [b"\r\n", MP3].concat(),
        riff,
        b"APETAGEX".to_vec(),
    ] {
        check(".mp3", "a.mp3", "audio/mpeg", &bytes, PASS);
    }
    check(".mp3", "a.mp3", "audio/mpeg", b"\0\0\0words", MISMATCH);
}

/// ONLYOFFICE/DocumentServer#370: what "new document" of a desktop makes.
#[test]
fn an_empty_file_contradicts_nothing() {
    for list in ["", ".docx,.jpg,.txt"] {
        for name in ["New.docx", "a.jpg", "a.txt"] {
            check(list, name, "", b"", PASS);
        }
    }
    check("", "a.svg", "", b"", ACTIVE);
}

/// immich#17743, openneuro#2519: what macOS and the office leave next to files.
#[test]
fn side_files_are_taken_where_everything_is() {
    let side = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ";
    let owner = [b"\x05Alice".as_slice(), &[0; 156]].concat();
    check("", "._IMG_1.jpg", "image/jpeg", side, PASS);
    check("", "~$report.docx", "", &owner, PASS);
    check("image/*", "._IMG_1.jpg", "image/jpeg", side, MISMATCH);
    check(".docx", "~$report.docx", "", &owner, MISMATCH);
    check("", "IMG_1.jpg", "image/jpeg", side, MISMATCH);
    check("", "~$report.docx", "", &[1; 200], MISMATCH);
}

/// SheetJS#419, tableExport#324: exports that call themselves a spreadsheet.
#[test]
fn old_office_names_stand_for_several_formats() {
    let text = b"a\tb\n1\t2\n";
    check("", "export.xls", "application/vnd.ms-excel", text, PASS);
    check("", "notes.doc", "application/msword", b"plain words", PASS);
    check(
        ".xls",
        "export.xls",
        "application/vnd.ms-excel",
        text,
        MISMATCH,
    );
    for list in ["", ".xls"] {
        check(list, "old.xls", "", b"\x09\x08\x08\0\0\x05\x05\0", PASS);
        check(list, "new.xls", "", ZIP, PASS);
        check(list, "a.xls", "", OLE, PASS);
    }
    check(
        "",
        "export.xls",
        "",
        b"<html><table><tr><td>1</table>",
        ACTIVE,
    );
    check(".xls", "export.xls", "", b"<html><table>", MISMATCH);
    check("", "a.xls", "", b"MZ\x90\0", MISMATCH);
}

/// file-type#38: old cameras write no `ftyp`.
#[test]
fn films_without_a_brand_are_taken() {
    let old = b"\0\0\0\x08free\0\0\0\x10mdat\0\0\0\0\0\0\0\0";
    check(".mp4", "cam.mp4", "video/mp4", old, PASS);
    check(".mp4", "cam.mp4", "video/mp4", b"\0\0\0\x18styp", PASS);
    check(".mp4", "cam.mp4", "video/mp4", b"\0\0\0\x18xxxx", MISMATCH);
}

/// Extensions that a list of types gives to another format.
#[test]
fn the_type_of_the_extension_is_enough() {
    let heif = b"\0\0\0\x18ftypheix\0\0\0\0mif1heix";
    check("", "a.ass", "audio/aac", b"[Script Info]\n", PASS);
    check("", "a.mp2", "video/mpeg", b"\xFF\xFD\x90\x04", PASS);
    check("", "IMG_1.hif", "image/avif", heif, PASS);
    check("image/*", "IMG_1.hif", "image/avif", heif, PASS);
}

/// XML without a declaration runs scripts all the same where a server calls it XML.
#[test]
fn xml_is_known_by_every_table_that_knows_it() {
    let script = b"<root><x:script xmlns:x='http://www.w3.org/1999/xhtml'>1</x:script></root>";
    for name in [
        "a.xsd",
        "a.kml",
        "a.gpx",
        "a.wsdl",
        "a.xpdl",
        "a.config",
        "a.rng",
        "a.unheardof",
        "a",
        "a.xml.en",
    ] {
        for media_type in ["", "text/plain", "image/foo"] {
            check("", name, media_type, script, ACTIVE);
        }
    }
    check("", "a", "text/plain", b"<p>words", ACTIVE);
    check("", "a.unheardof", "text/plain", b"<p>words", ACTIVE);
}

/// Signatures of one or two bytes are words of a page as well.
#[test]
fn short_signatures_ask_for_more() {
    check("", "a.mpg", "", b"G<script>alert(1)</script>", MISMATCH);
    check("", "a.bmp", "", b"BM<script>alert(1)</script>", MISMATCH);
    check("", "a.ps", "", b"%!<script>alert(1)</script>", MISMATCH);
    let mut stream = vec![0; 400];
    stream[0] = b'G';
    stream[188] = b'G';
    check("", "a.mpg", "", &stream, PASS);
}

#[test]
fn compressors_and_archivers_write_more_than_one_beginning() {
    let skippable = b"\x50\x2A\x4D\x18\x04\0\0\0size\x28\xB5\x2F\xFD";
    check(".zst", "a.zst", "", skippable, PASS);
    check(".tar", "none.tar", "", &[0; 10240], PASS);
    check(".zip", "part.zip", "", b"PK00PK\x03\x04", PASS);
    check(".wav", "long.wav", "", b"BW64\xFF\xFF\xFF\xFFWAVE", PASS);
    check(".aac", "a.aac", "", b"\0\0\0\x18ftypM4A ", PASS);
    check(".heic", "a.heic", "", b"\0\0\0\x18ftypmif2", PASS);
    check(".tar", "a.tar", "", &[b'x'; 600], MISMATCH);
    // The seventh edition of Unix writes no mark, only numbers.
    let numbers = b"0000644\x000000000\x000000000\x0000000000005\x0014000000000\x00007071\x00 0";
    let mut old = b"t.txt".to_vec();
    old.resize(100, 0);
    old.extend(numbers);
    old.resize(1024, 0);
    check(".tar", "old.tar", "", &old, PASS);
    old[100..108].copy_from_slice(b"words!!\0");
    check(".tar", "old.tar", "", &old, MISMATCH);
}

/// What developers keep has extensions that lists give to XML, films and pictures; docs of mime-db, Debian's mime.types.
#[test]
fn sources_are_no_markup() {
    for (name, media_type, bytes) in [
        (
            "main.rs",
            "",
            "//! Vec<T>, <html> and <script>\nfn main() {}\n",
        ),
        ("main.rs", "text/rust", "#![no_std]\n"),
        ("main.rs", "text/x-rust", "\u{FEFF}use std::fmt;\n"),
        ("main.rs.orig", "", "fn main() {}\n"),
        ("kernel.cl", "text/x-opencl-src", "__kernel void f() {}\n"),
        ("list.sml", "", "fun f x = x < 3\n"),
        ("go.mod", "", "module example.org/x\n"),
        ("configure.ac", "", "AC_INIT([x], [1])\n"),
        ("page.ts", "", "export const x: Array<string> = [];\n"),
        ("page.ts", "video/mp2t", "import x from 'y';\n"),
        ("page.mts", "", "export {};\n"),
        ("page.tsx", "", "export const x = () => <p/>;\n"),
        ("main.go", "text/x-go", "package main\n"),
        ("a.c", "text/x-csrc", "#include <stdio.h>\n"),
        ("a.hpp", "", "template <class T> class X;\n"),
        (
            "a.m",
            "text/x-objcsrc",
            "#import <Foundation/Foundation.h>\n",
        ),
        ("a.mm", "", "#import <Foundation/Foundation.h>\n"),
        ("a.py", "text/x-python", "print('<html>')\n"),
        ("a.rb", "", "puts 1\n"),
        ("a.pl", "", "#!/usr/bin/perl\n"),
        ("a.sh", "", "#!/bin/sh\n"),
        ("a.bat", "application/x-msdos-program", "@echo off\r\n"),
        ("a.cmd", "", "@echo off\r\n"),
        ("a.ps1", "", "Write-Host 1\r\n"),
        ("a.nim", "", "echo 1\n"),
        ("a.scm", "", "(define x 1)\n"),
        ("a.lisp", "", "(defun x ())\n"),
        ("a.kt", "", "fun main() {}\n"),
        ("a.swift", "", "import Foundation\n"),
        ("a.dart", "", "void main() {}\n"),
        ("a.vhd", "", "library ieee;\n"),
        ("a.v", "", "module x;\n"),
        ("a.d", "", "import std.stdio;\n"),
        ("a.tex", "", "\\documentclass{article}\n"),
        ("a.pot", "", "msgid \"\"\nmsgstr \"\"\n"),
        ("a.po", "", "msgid \"\"\nmsgstr \"\"\n"),
        ("a.cu", "", "__global__ void f() {}\n"),
        ("a.tpl", "", "{{ x }}\n"),
        ("a.map", "application/json", "{\"version\":3}\n"),
        ("a.vue", "", "export default {}\n"),
        ("Makefile", "", "all:\n\tcc a.c\n"),
    ] {
        check("", name, media_type, bytes.as_bytes(), PASS);
    }
    check(".rs", "main.rs", "", b"fn main() {}\n", PASS);
    check(".ts", "page.ts", "", b"export {};\n", PASS);
}

/// Sources under an extension that a list gives to XML, and what a server that believes it would send.
#[test]
fn a_document_is_none_whatever_its_extension() {
    let blanks = [b' '; 9_000];
    for bytes in [
        b"<_><script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script></_>".as_slice(),
        b"\xEF\xBB\xBF\n<r/>",
        b"<\0r\0/\0>\0",
        b"<!-- x -->",
        b"<",
        &[&blanks, b"<r/>".as_slice()].concat(),
    ] {
        for name in ["main.rs", "a.pkg", "kernel.cl"] {
            check("", name, "", bytes, ACTIVE);
        }
    }
    check("", "main.rs", "", b"", PASS);
    check("", "main.rs", "", b"\n\n", PASS);
    check("", "main.rs", "application/xml", b"fn main() {}", ACTIVE);
    check("", "main.rs.gz", "", b"\x1F\x8B\x08\0", ACTIVE);
}
