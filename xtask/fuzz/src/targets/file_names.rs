//! Names of files in `Content-Disposition`, of requests and of the parts of forms.

use upload_server::testing;

pub(super) fn run(input: &[u8]) {
    let found = testing::file_name(input);
    assert!(found.is_none_or(|name| {
        // What is not UTF-8 grows to three bytes.
        !name.is_empty() && name.len() <= input.len().saturating_mul(3)
    }));
    let Ok(name) = std::str::from_utf8(input) else {
        return;
    };
    if name.is_empty() {
        return;
    }
    // Written as programs write it, any name is the same.
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    for form in [
        format!("form-data; name=\"file\"; filename=\"{escaped}\""),
        format!("attachment;FileName=\"{escaped}\"; size=1"),
    ] {
        assert_eq!(testing::file_name(form.as_bytes()).as_deref(), Some(name));
    }
    let encoded: String = input.iter().map(|byte| format!("%{byte:02X}")).collect();
    let form = format!("attachment; filename=other.txt; filename*=UTF-8''{encoded}");
    assert_eq!(testing::file_name(form.as_bytes()).as_deref(), Some(name));
    // Written as browsers write it, any is that does not look escaped itself.
    if ["%22", "%0D", "%0A", "\\"]
        .iter()
        .all(|text| !name.contains(text))
    {
        let escaped = name
            .replace('"', "%22")
            .replace('\r', "%0D")
            .replace('\n', "%0A");
        let form = format!("form-data; name=\"file\"; filename=\"{escaped}\"");
        assert_eq!(
            testing::form_file_name(form.as_bytes()).as_deref(),
            Some(name)
        );
    }
}
