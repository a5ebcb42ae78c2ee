//! Why a difference breaks, and what to do instead.

use crate::finding::Direction;
use crate::released::{Id, Role};
use crate::rules::Rule;

pub(super) struct Words<'a> {
    pub id: &'a Id,
    pub role: Role,
}

impl Words<'_> {
    /// Whom it breaks, and how.
    pub(super) fn why(&self, rule: Rule, direction: Option<Direction>) -> String {
        let (event, old_reads_new) = (self.role == Role::Event, direction == Some(Direction::OldReadsNew));
        let text = match rule {
            Rule::FieldRemoved | Rule::FieldOptional if event => {
                "consumers that run already decode it as a field that is always there: they quarantine an event without it"
            }
            Rule::FieldRemoved | Rule::FieldOptional => {
                "deciders that run already refuse the command without it"
            }
            Rule::OptionalFieldRemoved if event => {
                "whoever reads it is told nothing from now on, and archives hold it for ever: the name can't be used again for anything else"
            }
            Rule::OptionalFieldRemoved => "what senders that run already say in it is passed over",
            Rule::FieldRequired if event => {
                "archives, queues and quarantines hold events without it: a replay or a rebuild can't decode them"
            }
            Rule::FieldRequired => "senders that run already don't say it: their commands are refused",
            Rule::TypeChanged | Rule::ConstantChanged if event => {
                "consumers that run already can't decode new events, and this build can't decode those of the archive"
            }
            Rule::TypeChanged | Rule::ConstantChanged => {
                "commands of senders that run already can't be decoded"
            }
            Rule::FormatChanged | Rule::PatternChanged if event && old_reads_new => {
                "consumers that run already may parse it by the earlier form: what doesn't match is quarantined"
            }
            Rule::FormatChanged | Rule::PatternChanged if event => {
                "archives hold texts of the earlier form, and no one can tell whether each of them still matches"
            }
            Rule::FormatChanged | Rule::PatternChanged if old_reads_new => {
                "deciders that run already refuse what doesn't match the earlier form"
            }
            Rule::FormatChanged | Rule::PatternChanged => {
                "senders that run already write the earlier form: what doesn't match is refused"
            }
            Rule::NullAllowed if event => {
                "consumers that run already take no null there: they quarantine the event"
            }
            Rule::NullAllowed => "deciders that run already take no null there",
            Rule::NullForbidden if event => "archives hold events with null there: they no longer decode",
            Rule::NullForbidden => "senders that run already may say null there: their commands are refused",
            Rule::WidthChanged if old_reads_new => {
                "who reads it in the narrower type can't decode what doesn't fit"
            }
            Rule::WidthChanged => "what was written before may not fit into the narrower type",
            Rule::EnumValueRemoved if event => {
                "archives hold events with it: this build takes the value for one that it doesn't know, or for none"
            }
            Rule::EnumValueRemoved => "senders that run already say it",
            Rule::EnumValueAdded if event => "consumers that run already can't decode the new value",
            Rule::EnumValueAdded => "deciders that run already can't decode the new value",
            Rule::EnumClosed => {
                "values of a later build that pass through this one no longer decode, and no value can be added from here on"
            }
            Rule::ChoiceLoosened => "who decides by its values meets others, and can't know their meaning",
            Rule::LimitWidened if event => {
                "it is read as before, but consumers that run already may count on the limit, for the width of a column say"
            }
            Rule::LimitWidened => "deciders that run already refuse what is beyond the earlier limit",
            Rule::LimitNarrowed if event => {
                "it is read as before, but archives hold what is beyond the limit now: no rule may count on it"
            }
            Rule::LimitNarrowed => {
                "senders that run already may be beyond the limit: their commands are refused"
            }
            Rule::DefaultChanged => "what was left out before means something else from now on",
            Rule::UnitChanged => {
                "the bytes are the same, so nothing fails: who reads it goes on with the earlier unit, and is wrong"
            }
            Rule::DescriptionRemoved | Rule::DescriptionMissing => {
                "other teams know of the field what is said here, and nothing else"
            }
            Rule::DescriptionChanged => "other teams read it as it was",
            Rule::KindChanged => {
                "a fold of state can't be given a change, nor a fold of changes a state: consumers quarantine it"
            }
            Rule::ContractRemoved if event => "consumers that run already fold it, and archives hold it",
            Rule::ContractRemoved => {
                "senders that run already send it: it is quarantined as of an unknown major version"
            }
            Rule::RetiredInUse => "what is retired has no reader and no writer",
            Rule::ReleaseChanged => "a released version is what others have built upon; it never changes",
            Rule::OutsideSubset => "what can't be compared could hide a break",
        };
        text.to_owned()
    }

    /// What to do instead.
    pub(super) fn advice(&self, rule: Rule, direction: Option<Direction>, path: &str) -> String {
        let Id { name, major, .. } = self.id;
        let next = major + 1;
        let field = path.rsplit('.').next().unwrap_or(path).trim_end_matches("[]");
        if self.role == Role::Command && direction == Some(Direction::OldReadsNew) {
            return format!(
                "deploy `{}` in every region before anybody sends the new form, or add {name} v{next} beside v{major}",
                self.id.domain
            );
        }
        let new_major = match self.role {
            Role::Event => format!("publish {name} v{next} beside v{major}, with an upcaster from v{major}"),
            Role::Command => format!("decide {name} v{next} beside v{major}"),
        };
        match rule {
            Rule::FieldRemoved => {
                format!("keep `{field}` and go on filling it; to be rid of it, {new_major}")
            }
            Rule::OptionalFieldRemoved => {
                format!(
                    "keep `{field}` where somebody reads it (`tributary contracts who`); else remember that its name is used"
                )
            }
            Rule::FieldRequired => format!(
                "make `{field}` optional: `#[serde(default, skip_serializing_if = \"Option::is_none\")] {field}: Option<…>`; or {new_major}"
            ),
            Rule::FieldOptional | Rule::NullAllowed => {
                format!("go on filling `{field}` always; or {new_major}")
            }
            Rule::NullForbidden => format!("leave `{field}` an `Option`; or {new_major}"),
            Rule::TypeChanged | Rule::FormatChanged | Rule::WidthChanged | Rule::ConstantChanged => {
                format!("add a field beside `{field}` and fill both; or {new_major}")
            }
            Rule::PatternChanged => {
                format!(
                    "leave the pattern as it was; where every text still fits both, a field beside `{field}` says so; or {new_major}"
                )
            }
            Rule::EnumValueRemoved => {
                format!(
                    "leave the value in the enum, and say in its description that nobody writes it any more; or {new_major}"
                )
            }
            Rule::EnumValueAdded => format!(
                "{new_major}; there let the enum take what it doesn't know (`#[serde(untagged)] Unknown(String)`), then values can be added"
            ),
            Rule::EnumClosed => "leave `#[serde(untagged)] Unknown(String)` in the enum".to_owned(),
            Rule::ChoiceLoosened => {
                format!("add a field beside `{field}` for the free text; or tell those who read it first")
            }
            Rule::LimitWidened => "ask those who read it whether they can take more, then release".to_owned(),
            Rule::LimitNarrowed if self.role == Role::Command => {
                format!("leave the limit as it was; or {new_major}")
            }
            Rule::LimitNarrowed => "leave what reads it able to take what was written before".to_owned(),
            Rule::DefaultChanged => format!("leave the default as it was; or {new_major}"),
            Rule::UnitChanged => format!(
                "if only the words changed, say the unit as it was; if the unit changed, add a field whose name says it (`{field}In…`), or {new_major}"
            ),
            Rule::DescriptionRemoved | Rule::DescriptionMissing => {
                format!("say what `{field}` means, and in which unit, as its doc comment")
            }
            Rule::DescriptionChanged => "nothing, where it means the same".to_owned(),
            Rule::KindChanged => "publish an event of another name beside it".to_owned(),
            Rule::ContractRemoved => format!(
                "leave it in `published::all`; once nobody reads it (metric `EventsRead`), retire it: `tributary contracts retire {} --major {major} --why …`",
                self.id.full_name()
            ),
            Rule::RetiredInUse => {
                "take it out of `published::all` and of the micrographs, or take the retirement back"
                    .to_owned()
            }
            Rule::ReleaseChanged => {
                "put the file back as it was; `tributary contracts release` adds the next one beside it"
                    .to_owned()
            }
            Rule::OutsideSubset => "use a type that the published language has".to_owned(),
        }
    }
}
