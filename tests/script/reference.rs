//! What the docs of natives owe their readers.

use tureen::script::docs::{self, Comment, Reference};
use tureen::script::{Session, Setup};

fn reference() -> Reference {
    Reference::new(&Session::new(Setup::default()))
}

fn has_example(comment: &Comment) -> bool {
    !comment.examples.is_empty() || !comment.idle_examples.is_empty()
}

fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_function_says_what_it_does_and_shows_it() {
    let mut wrong = Vec::new();
    for chapter in &reference().chapters {
        for page in &chapter.functions {
            for form in &page.forms {
                let which = form.signatures.join("; ");
                if !form.doc.summary.ends_with(['.', ')']) {
                    wrong.push(format!("{which} has no summary"));
                }
                if !has_example(&form.doc) {
                    wrong.push(format!("{which} has no example"));
                }
            }
        }
    }
    report(wrong);
}

#[test]
fn every_parameter_is_explained() {
    let mut wrong = Vec::new();
    let reference = reference();
    // Whose method it is goes without saying.
    let mut own: Vec<&str> = reference.types().map(|t| t.name.as_str()).collect();
    own.extend(["list", "number"]);
    for chapter in &reference.chapters {
        for form in chapter.functions.iter().flat_map(|page| &page.forms) {
            let is_method = own.contains(&form.receiver.as_str());
            for name in form.parameters.iter().skip(usize::from(is_method)) {
                let is_told = form.doc.parameters.iter().any(|p| p.name == *name)
                    || form.doc.text.contains(&format!("`{name}`"));
                if !is_told {
                    wrong.push(format!("{}: {name}", form.signatures.join("; ")));
                }
            }
        }
    }
    report(wrong);
}

#[test]
fn every_parameter_that_is_explained_is_there() {
    let mut wrong = Vec::new();
    for form in reference()
        .chapters
        .iter()
        .flat_map(|chapter| &chapter.functions)
        .flat_map(|page| &page.forms)
    {
        for told in &form.doc.parameters {
            if !form.parameters.contains(&told.name) {
                wrong.push(format!("{}: {}", form.signatures.join("; "), told.name));
            }
        }
    }
    report(wrong);
}

#[test]
fn every_property_is_explained_and_shown() {
    let mut wrong = Vec::new();
    for type_ in reference().types() {
        let code = type_.doc.examples.join("\n");
        for property in &type_.properties {
            let which = format!("{}.{}", type_.name, property.name);
            if property.doc.summary.is_empty() {
                wrong.push(format!("{which} says nothing"));
            }
            let used = code.contains(&format!(".{}", property.name));
            if !used && property.name != "[index]" {
                wrong.push(format!("{which} is in no example of its type"));
            }
        }
        if type_.doc.summary.is_empty() || code.is_empty() {
            wrong.push(format!("{} says or shows nothing", type_.name));
        }
    }
    report(wrong);
}

#[test]
fn every_type_that_functions_take_or_give_has_a_page() {
    let reference = reference();
    let known: Vec<&str> = reference.types().map(|t| t.name.as_str()).collect();
    let plain = [
        "int", "float", "bool", "text", "list", "map", "any", "function", "range", "number", "()",
        "",
    ];
    let forms = reference
        .chapters
        .iter()
        .flat_map(|chapter| &chapter.functions)
        .flat_map(|page| &page.forms);
    let mut wrong = Vec::new();
    for form in forms {
        let given = form.signatures[0].rsplit(" -> ").next().unwrap_or("");
        for name in [form.receiver.as_str(), given] {
            if !known.contains(&name) && !plain.contains(&name) {
                wrong.push(format!("{}: {name}", form.signatures[0]));
            }
        }
    }
    report(wrong);
}

#[test]
fn every_function_of_a_module_says_what_it_does_and_shows_it() {
    let mut wrong = Vec::new();
    for module in docs::modules() {
        if module.doc.summary.is_empty() {
            wrong.push(format!("{} says nothing", module.path));
        }
        for function in &module.functions {
            let which = function.signature(&module.path);
            if function.doc.summary.is_empty() || !has_example(&function.doc) {
                wrong.push(format!("{which} says or shows nothing"));
            }
            for name in &function.parameters {
                if !function.doc.parameters.iter().any(|p| p.name == *name) {
                    wrong.push(format!("{which}: {name}"));
                }
            }
        }
    }
    report(wrong);
}

#[test]
fn the_table_of_options_has_a_row_for_each() {
    let table = docs::all_options();
    for row in [
        "| `train` | `lr` | 1e-3; 5e-4 for lora and dora; 5e-3 for ia3 |",
        "| `train` | `batch` | 32 | rows | a whole number of rows from 1 to 65536 | rows a step |",
        "| `train` | `adapter` | \"pfeiffer\" |",
    ] {
        assert!(table.contains(row), "{row}\n{table}");
    }
}

#[test]
fn help_is_told_in_the_terminal() {
    let (interpreter, _) = super::interpreter(&[]);
    let help = |name: &str| docs::help(interpreter.engine(), name).unwrap();
    insta::assert_snapshot!(help("subsets"));
    insta::assert_snapshot!(help("Table.save"));
    insta::assert_snapshot!(help("correlate"));
    insta::assert_snapshot!(help("Head"));
    insta::assert_snapshot!(help("std/stats::holm"));
    insta::assert_snapshot!(help("std/arithmetic::line"));
}
