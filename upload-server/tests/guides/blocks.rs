//! Code blocks of Markdown documents.

/// One block, and the line its fence stands in.
pub(crate) struct Block {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Returns the blocks with exactly this mark.
pub(crate) fn of(document: &str, mark: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = (1..).zip(document.lines());
    while let Some((line, fence)) = lines.next() {
        let Some(found) = fence.strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().take_while(|(_, text)| *text != "```");
        let text = inside.map(|(_, text)| format!("{text}\n")).collect();
        if found == mark {
            blocks.push(Block { line, text });
        }
    }
    blocks
}

#[test]
fn only_blocks_of_the_mark_are_found() {
    let document = "a\n```toml\nx = 1\n```\n```toml,manifest\ny = 2\n```\n```toml\n```\n";
    let found: Vec<_> = of(document, "toml")
        .into_iter()
        .map(|block| (block.line, block.text))
        .collect();
    assert_eq!(found, [(2, "x = 1\n".to_owned()), (8, String::new())]);
}
