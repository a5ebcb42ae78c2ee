//! Units in descriptions: the one change that no type tells of.

use std::collections::BTreeSet;

/// Words for the same unit, each group under its first.
const UNITS: &[&[&str]] = &[
    &["pence", "penny", "cent", "cents", "pennies"],
    &["pound", "pounds", "euro", "euros", "dollar", "dollars", "main unit"],
    &["millionths", "micros"],
    &["thousandths"],
    &["percent", "per cent", "percentage", "%"],
    &["basis points", "permille"],
    &["fraction", "ratio"],
    &["gram", "grams", "g"],
    &["kilogram", "kilograms", "kg"],
    &["ounce", "ounces", "oz"],
    &["millimetre", "millimetres", "mm"],
    &["centimetre", "centimetres", "cm"],
    &["metre", "metres"],
    &["inch", "inches"],
    &["nanosecond", "nanoseconds", "ns"],
    &["microsecond", "microseconds", "µs"],
    &["millisecond", "milliseconds", "ms"],
    &["second", "seconds"],
    &["minute", "minutes"],
    &["hour", "hours"],
    &["day", "days"],
    &["week", "weeks"],
    &["month", "months"],
    &["byte", "bytes"],
    &["kb", "kilobytes", "kib", "kibibytes"],
    &["mb", "megabytes", "mib", "mebibytes"],
    &["piece", "pieces"],
    &["pack", "packs", "box", "boxes", "carton", "cartons", "pallet", "pallets"],
    &["dozen", "dozens"],
    &["utc"],
    &["local time"],
    &["net", "without tax", "excluding tax", "excluding vat"],
    &["gross", "with tax", "including tax", "including vat"],
    &["iso 4217"],
    &["iso 3166"],
    &["iso 8601"],
    &["celsius"],
    &["fahrenheit"],
];

/// The units that a description names, each by one word for all that mean the same.
pub fn named(description: &str) -> BTreeSet<&'static str> {
    let words: String = description
        .to_lowercase()
        .replace('%', " % ")
        .chars()
        .map(|char| if char.is_alphanumeric() || char == '%' || char == 'µ' { char } else { ' ' })
        .collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = format!(" {words} ");
    let names = |unit: &&[&str]| unit.iter().any(|word| words.contains(&format!(" {word} ")));
    UNITS.iter().filter(|unit| names(unit)).map(|unit| unit[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_the_same_unit_are_one() {
        assert_eq!(named("In pounds, not negative."), named("Pounds; never below zero"));
        assert_eq!(named("Weight in kg."), named("The weight, in kilograms"));
        assert_ne!(named("Weight in kg."), named("Weight in grams."));
        assert_eq!(named("10% of it"), named("a share of 10 percent").into_iter().collect());
        assert!(named("What it is called now.").is_empty());
        // A part of a word is no unit.
        assert!(named("The message's mster key").is_empty());
    }
}
