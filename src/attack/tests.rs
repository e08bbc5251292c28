//! Whole searches against TextAttack 0.3.11's, on a model and an encoder so simple that both have
//! them: its results are pasted here.

use super::characters::Reach;
use super::neighbors::{Neighbors, Source};
use super::outcome::{Attempt, Outcome};
use super::recipe::{Change, Recipe, Similarity};
use super::search::{Need, Search};
use super::sources::Sources;
use super::text::Attacked;
use super::textfooler::TEXTFOOLER;
use crate::data::{Label, Row};

/// Two classes; each word speaks for one of them by the bytes it is spelt with.
fn answer(text: &str) -> Vec<f32> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let says = |word: &str| {
        let sum: i32 = word.bytes().map(i32::from).sum();
        f64::from((sum * 37) % 101 - 50) / 25.0
    };
    let logit: f64 = words.filter(|word| !word.is_empty()).map(says).sum();
    let p = 1.0 / (1.0 + (-logit).exp());
    vec![(1.0 - p) as f32, p as f32]
}

/// How often each letter is there.
fn embedding(text: &str) -> Vec<f32> {
    let text = text.to_lowercase();
    let count = |letter| text.chars().filter(|c| *c == letter).count() as f32;
    ('a'..='z').map(count).collect()
}

fn carried() -> Neighbors {
    Source::Carried.read().unwrap().parse().unwrap()
}

fn attack(recipe: &Recipe, texts: (&str, Option<&str>)) -> Attempt {
    let text = Attacked::of(&Row {
        text: texts.0.into(),
        text_b: texts.1.map(Into::into),
        label: Label::Hidden,
    });
    let sources = Sources {
        recipe,
        neighbors: Some(carried()),
        wordnet: None,
        keeps_first: recipe.keeps_first && texts.1.is_some(),
        seed: 0,
    };
    let gold = usize::from(answer(text.whole())[1] > 0.5);
    let mut search = Search::new(&sources, 0, text, gold);
    loop {
        match search.need() {
            Need::Nothing => return search.attempt(),
            Need::Answers(texts) => {
                let told: Vec<String> = texts.iter().map(|t| t.whole().to_string()).collect();
                for text in told {
                    let answer = answer(&text);
                    search.learn_answer(text, answer);
                }
            }
            Need::Embeddings(texts) => {
                let told: Vec<String> = texts.iter().map(|t| t.to_string()).collect();
                for text in told {
                    let embedding = embedding(&text);
                    search.learn_embedding(text, embedding);
                }
            }
        }
        search.go_on();
    }
}

/// What TextAttack found: outcome, queries, order of words, the text it left, its similarity and
/// score.
type Found<'a> = (Outcome, usize, &'a [usize], &'a str, Option<f64>, f32);

fn compare(recipe: &Recipe, texts: (&str, Option<&str>), expected: Found<'_>) {
    let (outcome, queries, order, text, similarity, score) = expected;
    let found = attack(recipe, texts);
    let left = match &found.perturbed {
        (first, None) => first.clone(),
        (first, Some(second)) => format!("{first}\n{second}"),
    };
    assert_eq!(left, text);
    assert_eq!((found.outcome, found.queries), (outcome, queries), "{text}");
    assert_eq!(found.order, order, "{text}");
    assert!((1.0 - found.perturbed_p - score).abs() < 1e-6, "{text}");
    match (found.similarity, similarity) {
        (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-3, "{text} {found}"),
        (found, expected) => assert_eq!(found, expected, "{text}"),
    }
}

const STORY: &str = "the film is a wonderful, clever story about ordinary people and their dreams, told with great care by a director who loves them";
const BORING: &str = "a boring film with a stupid plot and terrible actors";
const CHARMING: &str = "It's a charming and often moving picture.";
const PAIR: (&str, Option<&str>) = (
    "A man plays a strange guitar",
    Some("The man makes beautiful music"),
);

#[test]
fn textfooler_searches_as_textattack_does() {
    use Outcome::{Failed, Successful};
    let cases: [(_, Found<'_>); 4] = [
        (
            (STORY, None),
            (
                Successful,
                21,
                &[12, 5, 4, 21, 16, 15, 8, 6, 13, 1, 9, 19],
                &STORY.replace("dreams", "dreamt"),
                Some(0.978_356_9),
                0.681_353_75,
            ),
        ),
        (
            (BORING, None),
            (
                Successful,
                26,
                &[8, 9, 1, 6, 5, 2],
                "a dreary film with a stupid plot and horrible players",
                Some(1.0),
                0.876_533,
            ),
        ),
        (
            (CHARMING, None),
            (
                Successful,
                14,
                &[6, 4, 0, 5, 2],
                "It's a charming and often moving pictures.",
                Some(1.0),
                0.928_242_44,
            ),
        ),
        (
            PAIR,
            (
                Failed,
                25,
                &[8, 7, 10, 6, 9],
                "A man plays a strange guitar\nThe fella makes beautiful musicians",
                Some(1.0),
                0.217_550_22,
            ),
        ),
    ];
    for (texts, expected) in cases {
        compare(&TEXTFOOLER, texts, expected);
    }
}

#[test]
fn windows_and_thresholds_decide_as_in_textattack() {
    use Outcome::{Failed, Successful};
    let strict = Recipe {
        similarity: Some(Similarity {
            least: 0.95,
            window: Some(5),
            short_pass: true,
            with_original: false,
        }),
        ..TEXTFOOLER
    };
    let story = &STORY.replace("dreams", "dream");
    let order = &[12, 5, 4, 21, 16, 15, 8, 6, 13, 1, 9, 19];
    compare(
        &strict,
        (STORY, None),
        (Failed, 15, order, story, Some(0.951_829_3), 0.217_550_22),
    );
    compare(
        &strict,
        (BORING, None),
        (Failed, 8, &[8, 9, 1, 6, 5, 2], BORING, None, 0.001_869_917),
    );
    let pictures = "It's a charming and often moving pictures.";
    compare(
        &strict,
        (CHARMING, None),
        (
            Successful,
            7,
            &[6, 4, 0, 5, 2],
            pictures,
            Some(0.960_106_8),
            0.928_242_44,
        ),
    );
    let pair = "A man plays a strange guitar\nThe man makes beautiful music";
    compare(
        &strict,
        PAIR,
        (Failed, 6, &[8, 7, 10, 6, 9], pair, None, 0.001_413_88),
    );
}

/// The changes of TextBugger that draw nothing.
const FIXED: &[Change] = &[Change::Homoglyph, Change::Neighbors(5)];

#[test]
fn the_most_similar_text_that_changes_the_label_wins() {
    let recipe = Recipe {
        changes: FIXED,
        ..super::textbugger::TEXTBUGGER
    };
    let plot = "The plot is clever: nobody would have guessed the ending of this wonderful film";
    type Case<'a> = (&'a str, usize, &'a [usize], &'a str, f64, f32);
    let cases: [Case<'_>; 3] = [
        (
            BORING,
            29,
            &[8, 9, 1, 6, 5, 2],
            "a boring film with a stupid plot and terribⅼe ɑctors",
            0.962_707_3,
            0.539_914_85,
        ),
        (
            CHARMING,
            18,
            &[6, 4, 0, 5, 2],
            "It's a charming and often moving pіcture.",
            0.966_792_6,
            0.948_826_3,
        ),
        (
            plot,
            21,
            &[3, 1, 12, 0, 4, 7, 9, 13, 5],
            "The plot is clevеr: nobody would have guessed the ending of this wonderful film",
            0.983_580_5,
            0.698_465_2,
        ),
    ];
    for (text, queries, order, left, similarity, score) in cases {
        let expected = (
            Outcome::Successful,
            queries,
            order,
            left,
            Some(similarity),
            score,
        );
        compare(&recipe, (text, None), expected);
    }
}

/// As in TextAttack, the numbers of words are not moved where one before them became two: the turn
/// of a word may be that of its neighbour by then.
#[test]
fn words_are_numbered_as_the_text_stands() {
    use Outcome::{Failed, Successful};
    let recipe = Recipe {
        changes: &[Change::Space(Reach::Inner)],
        similarity: Some(Similarity {
            least: 0.5,
            window: None,
            short_pass: false,
            with_original: true,
        }),
        ..super::textbugger::TEXTBUGGER
    };
    let same = Some(1.0);
    let cases: [(&str, Found<'_>); 3] = [
        (
            "Big red dog ran, and the tan cat sat; one man had fun.",
            (
                Successful,
                13,
                &[2, 0, 8, 7, 6, 1, 12, 3, 10, 9],
                "B ig red d og ran, and the tan cat sat; one man had fun.",
                same,
                0.549_834,
            ),
        ),
        (
            "Our new car has air.",
            (
                Failed,
                7,
                &[1, 4, 2, 0],
                "Our n ew car has air.",
                same,
                0.231_475_24,
            ),
        ),
        (
            "The old man may fly his red jet",
            (
                Successful,
                11,
                &[1, 3, 2, 0, 6, 7, 4],
                "T he o ld man may fly his red jet",
                same,
                0.746_494,
            ),
        ),
    ];
    for (text, expected) in cases {
        compare(&recipe, (text, None), expected);
    }
}

#[test]
fn words_may_be_ranked_by_another_in_their_place() {
    let recipe = Recipe {
        changes: FIXED,
        similarity: None,
        blank: "[UNK]",
        ..super::textbugger::TEXTBUGGER
    };
    type Case<'a> = (&'a str, usize, &'a [usize], &'a str, f32);
    let cases: [Case<'_>; 3] = [
        (
            "Big red dog ran, and the tan cat sat; one man had fun.",
            26,
            &[2, 0, 8, 7, 6, 1, 12, 3, 10, 9],
            "Bіg red dоg ran, and the tan cat sat; one man had fun.",
            0.976_339_4,
        ),
        (
            "Our new car has air.",
            20,
            &[1, 4, 2, 0],
            "Our nouvelle car has aiⲅ.",
            0.940_475_64,
        ),
        (
            "The old man may fly his red jet",
            16,
            &[1, 3, 2, 0, 6, 7, 4],
            "The antique man may fly his red jet",
            0.589_040_4,
        ),
    ];
    for (text, queries, order, left, score) in cases {
        let expected = (Outcome::Successful, queries, order, left, None, score);
        compare(&recipe, (text, None), expected);
    }
}

#[test]
fn a_text_without_words_to_change_fails_after_one_query() {
    let found = attack(&TEXTFOOLER, ("it is what it is", None));
    assert_eq!(
        (found.outcome, found.queries, found.words),
        (Outcome::Failed, 1, 5)
    );
    let found = attack(&TEXTFOOLER, ("", None));
    assert_eq!(
        (found.outcome, found.queries, found.changed),
        (Outcome::Failed, 1, 0)
    );
}
