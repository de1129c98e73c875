//! The JSON of `nsgate explain`, schema 1.

use serde::Serialize;

use crate::codes::{GROUPS, Group, Page};
use crate::lab;

/// The version of this shape.
const SCHEMA: u32 = 1;

/// Every code.
#[derive(Serialize)]
pub(crate) struct List {
    schema: u32,
    codes: Vec<CodeJson>,
}

/// One code.
#[derive(Serialize)]
struct CodeJson {
    code: &'static str,
    group: &'static str,
    meaning: &'static str,
}

/// One page; its sections are Markdown.
#[derive(Serialize)]
pub(crate) struct PageJson {
    schema: u32,
    #[serde(flatten)]
    code: CodeJson,
    sections: Vec<SectionJson>,
    /// The labs that show it.
    labs: Vec<&'static str>,
}

#[derive(Serialize)]
struct SectionJson {
    title: &'static str,
    text: &'static str,
}

impl List {
    /// The list of all codes, in the order of the catalogue.
    pub(crate) fn new() -> Self {
        let codes = GROUPS.iter().flat_map(|group| group.pages.iter().map(|page| CodeJson::new(group, page)));
        Self { schema: SCHEMA, codes: codes.collect() }
    }
}

impl PageJson {
    /// One page.
    pub(crate) fn new(group: &Group, page: &Page) -> Self {
        let sections = page.sections().map(|section| SectionJson { title: section.title, text: section.text });
        let labs = lab::made_for(page.cause).collect();
        Self { schema: SCHEMA, code: CodeJson::new(group, page), sections: sections.collect(), labs }
    }
}

impl CodeJson {
    fn new(group: &Group, page: &Page) -> Self {
        Self { code: page.cause.code(), group: group.title, meaning: page.meaning() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn a_page_and_the_list_say_the_same_of_a_code() {
        let (group, page) = codes::find("rp-filter").unwrap();
        let page = serde_json::to_value(PageJson::new(group, page)).unwrap();
        let list = serde_json::to_value(List::new()).unwrap();
        let listed = list["codes"].as_array().unwrap().iter().find(|code| code["code"] == "rp-filter").unwrap();
        for field in ["code", "group", "meaning"] {
            assert!(page[field].is_string() && page[field] == listed[field], "{field}");
        }
        assert_eq!(page["schema"], 1);
        assert_eq!(page["sections"][3]["title"], "Mend");
        assert_eq!(page["labs"][0], "rp-filter");
    }
}
