//! Names of datasets on the hub, with their configurations.

/// Datasets that had names without an owner, with the repositories they are in now.
const MOVED: &[(&str, &str)] = &[
    ("ag_news", "fancyzhx/ag_news"),
    ("amazon_polarity", "fancyzhx/amazon_polarity"),
    ("anli", "facebook/anli"),
    ("banking77", "PolyAI/banking77"),
    ("boolq", "google/boolq"),
    ("cnn_dailymail", "abisee/cnn_dailymail"),
    ("conll2003", "eriktks/conll2003"),
    ("dbpedia_14", "fancyzhx/dbpedia_14"),
    ("emotion", "dair-ai/emotion"),
    ("financial_phrasebank", "takala/financial_phrasebank"),
    ("glue", "nyu-mll/glue"),
    ("hellaswag", "Rowan/hellaswag"),
    ("imdb", "stanfordnlp/imdb"),
    ("multi_nli", "nyu-mll/multi_nli"),
    ("paws", "google-research-datasets/paws"),
    ("piqa", "ybisk/piqa"),
    (
        "rotten_tomatoes",
        "cornell-movie-review-data/rotten_tomatoes",
    ),
    ("scitail", "allenai/scitail"),
    ("sms_spam", "ucirvine/sms_spam"),
    ("snli", "stanfordnlp/snli"),
    ("squad", "rajpurkar/squad"),
    ("squad_v2", "rajpurkar/squad_v2"),
    ("sst", "stanfordnlp/sst"),
    ("sst2", "stanfordnlp/sst2"),
    ("super_glue", "aps/super_glue"),
    ("trec", "CogComp/trec"),
    ("tweet_eval", "cardiffnlp/tweet_eval"),
    ("wikitext", "Salesforce/wikitext"),
    ("winogrande", "allenai/winogrande"),
    ("xnli", "facebook/xnli"),
    ("yelp_polarity", "fancyzhx/yelp_polarity"),
    ("yelp_review_full", "Yelp/yelp_review_full"),
];

/// What the name of a dataset may mean, in the order it is looked for: a repository, perhaps with
/// its revision, and the configuration within it where one is named.
///
/// A name is `owner/name` or `owner/name/configuration`, or, for datasets older than owners, `name`
/// or `name/configuration`; each perhaps with `@revision` at its end.
pub fn datasets_named(name: &str) -> Vec<(String, Option<&str>)> {
    let (own, revision) = match name.split_once('@') {
        Some((own, revision)) => (own, format!("@{revision}")),
        None => (name, String::new()),
    };
    let moved = |name: &str| {
        let found = MOVED.iter().find(|(old, _)| *old == name);
        found.map(|(_, new)| format!("{new}{revision}"))
    };
    let plain = |name: &str| format!("{name}{revision}");
    match own.split('/').collect::<Vec<_>>()[..] {
        [one] => moved(one)
            .into_iter()
            .chain([plain(one)])
            .map(|n| (n, None))
            .collect(),
        [first, config] => match moved(first) {
            Some(new) => vec![(new, Some(config)), (plain(first), Some(config))],
            None => vec![(plain(own), None), (plain(first), Some(config))],
        },
        [owner, name, config] => vec![(plain(&format!("{owner}/{name}")), Some(config))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<(String, Option<&str>)> {
        datasets_named(name)
    }

    #[test]
    fn a_configuration_follows_the_repository() {
        let pair = |name: &str, config| (name.to_string(), config);
        assert_eq!(
            named("glue/sst2"),
            [
                pair("nyu-mll/glue", Some("sst2")),
                pair("glue", Some("sst2"))
            ]
        );
        assert_eq!(named("a/b/c@v1"), [pair("a/b@v1", Some("c"))]);
        assert_eq!(named("a/b"), [pair("a/b", None), pair("a", Some("b"))]);
        assert_eq!(
            named("imdb@refs/pr/1"),
            [
                pair("stanfordnlp/imdb@refs/pr/1", None),
                pair("imdb@refs/pr/1", None)
            ]
        );
        assert!(named("a/b/c/d").is_empty());
    }
}
