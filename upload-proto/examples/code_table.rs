//! Prints the table of all codes as Markdown, for the documentation.

fn main() {
    print!("{}", upload_proto::code_table());
}
