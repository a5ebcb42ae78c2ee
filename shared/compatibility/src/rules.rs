//! The rules, each with an id that stays.

use crate::finding::{Category, Severity};

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $rule:ident = $id:literal, $category:ident, $severity:ident, $summary:literal;)*) => {
        /// A rule. Its id stays when its words change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $summary] $rule,)*
        }

        /// All rules, in the order of the table in the README.
        pub const ALL: &[Rule] = &[$(Rule::$rule),*];

        impl Rule {
            /// Its id.
            pub fn id(self) -> &'static str {
                match self { $(Self::$rule => $id,)* }
            }

            /// What kind of break it finds.
            pub fn category(self) -> Category {
                match self { $(Self::$rule => Category::$category,)* }
            }

            /// How grave it is for an event; some are milder for a command.
            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)* }
            }

            /// What it finds, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$rule => $summary,)* }
            }
        }
    };
}

rules! {
    FieldRemoved = "field-removed", Wire, Error, "A field that was always there is gone.";
    OptionalFieldRemoved = "optional-field-removed", Semantic, Warning, "A field that could be absent is gone for good.";
    FieldRequired = "field-required", Wire, Error, "A field that could be absent, or did not exist, must be there.";
    FieldOptional = "field-optional", Wire, Error, "A field that was always there may be absent.";
    TypeChanged = "type-changed", Wire, Error, "A field is of another type.";
    FormatChanged = "format-changed", Wire, Error, "A text is written in another format.";
    NullAllowed = "null-allowed", Wire, Error, "A field may be null that never was.";
    NullForbidden = "null-forbidden", Wire, Error, "A field may no longer be null.";
    WidthChanged = "width-changed", Wire, Error, "A whole number is held by a wider or a narrower type.";
    ConstantChanged = "constant-changed", Wire, Error, "A field that always says one thing says another.";
    PatternChanged = "pattern-changed", Wire, Error, "A text has to match another pattern.";
    EnumValueRemoved = "enum-value-removed", Semantic, Error, "A value of an enum is gone.";
    EnumValueAdded = "enum-value-added", Wire, Error, "An enum whose readers know no other values has a new one.";
    EnumClosed = "enum-closed", Wire, Error, "An enum no longer takes values that it doesn't know.";
    ChoiceLoosened = "choice-loosened", Semantic, Warning, "A choice became a free text, or a free text a choice.";
    LimitWidened = "limit-widened", Semantic, Warning, "A limit was widened: readers may count on the earlier one.";
    LimitNarrowed = "limit-narrowed", Semantic, Warning, "A limit was narrowed: what was written before may be beyond it.";
    DefaultChanged = "default-changed", Semantic, Warning, "What stands for an absent field is something else.";
    UnitChanged = "unit-changed", Semantic, Warning, "The description names another unit; the bytes are the same.";
    DescriptionRemoved = "description-removed", Docs, Warning, "A field is no longer described.";
    DescriptionMissing = "description-missing", Docs, Warning, "A new field is not described.";
    DescriptionChanged = "description-changed", Docs, Note, "A description reads differently.";
    KindChanged = "kind-changed", Semantic, Error, "An event tells another thing: state, a change, or an end.";
    ContractRemoved = "contract-removed", Wire, Error, "An event or command that was released is gone.";
    RetiredInUse = "retired-in-use", Wire, Error, "A major version is retired and still declared.";
    ReleaseChanged = "release-changed", Wire, Error, "A released version was changed or removed.";
    OutsideSubset = "outside-subset", Wire, Error, "A schema says something that can't be compared.";
}

impl Rule {
    /// The rule with this id.
    pub fn named(id: &str) -> Option<Self> {
        ALL.iter().copied().find(|rule| rule.id() == id)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}
