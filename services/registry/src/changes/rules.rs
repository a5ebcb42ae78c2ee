//! The kinds of changes.

use super::Category;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal, $category:ident, $help:literal;)+) => {
        /// A kind of change. Its id is stable: settings and tools may name it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its stable id.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// What it means to clients.
            pub fn category(self) -> Category {
                match self { $(Self::$name => Category::$category,)+ }
            }

            /// What to do, or what to know.
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)+ }
            }

            /// What it is about, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

rules! {
    /// A type is gone.
    TypeRemoved = "type-removed", Breaking,
        "Keep the type, deprecate the fields that return it, and remove it once no operation uses them.";
    /// A type is of another kind.
    TypeKindChanged = "type-kind-changed", Breaking,
        "Add a type of the new kind under another name, with new fields that return it, and deprecate the old ones.";
    /// A type is new.
    TypeAdded = "type-added", Safe, "Nothing to do.";

    /// A field is gone.
    FieldRemoved = "field-removed", Breaking,
        "Keep the field with `@deprecated(reason: …)` that names its replacement, and remove it once no operation uses it.";
    /// A field is new.
    FieldAdded = "field-added", Safe, "Nothing to do.";
    /// A field's type is another one.
    FieldTypeChanged = "field-type-changed", Breaking,
        "Add a field with the new type under another name, and deprecate this one.";
    /// A field that was never null may be.
    FieldBecameNullable = "field-became-nullable", Breaking,
        "Clients were built without a null here: keep the `!`, or add a nullable field under another name.";
    /// A field is never null any more.
    FieldBecameNonNull = "field-became-non-null", Safe,
        "Be sure that it never fails alone: an error in it now makes the nearest nullable field around it null.";

    /// An argument is gone.
    ArgumentRemoved = "argument-removed", Breaking,
        "Keep the argument, deprecate it, and remove it once no operation gives it.";
    /// An argument that has to be given is new.
    RequiredArgumentAdded = "required-argument-added", Breaking,
        "Make it nullable, or give it a default value.";
    /// An argument that may be given is new.
    ArgumentAdded = "argument-added", Safe, "Nothing to do.";
    /// An argument's type is another one.
    ArgumentTypeChanged = "argument-type-changed", Breaking,
        "Add an argument with the new type under another name, and deprecate this one.";
    /// An argument may no longer be null or left out.
    ArgumentBecameNonNull = "argument-became-non-null", Breaking,
        "Keep it nullable, and refuse null in the resolver with an error that says what to give.";
    /// An argument may be null now.
    ArgumentBecameNullable = "argument-became-nullable", Safe, "Nothing to do.";
    /// An argument has another value where it isn't given.
    ArgumentDefaultChanged = "argument-default-changed", Dangerous,
        "Operations that don't give it mean something else from now on: add a new argument where that matters.";
    /// An argument that is never null has no default value any more.
    ArgumentDefaultRemoved = "argument-default-removed", Breaking,
        "Keep the default value, or make the argument nullable.";

    /// A field of an input type is gone.
    InputFieldRemoved = "input-field-removed", Breaking,
        "Keep the field, deprecate it, and remove it once no client sends it.";
    /// A field of an input type that has to be given is new.
    RequiredInputFieldAdded = "required-input-field-added", Breaking,
        "Make it nullable, or give it a default value.";
    /// A field of an input type that may be given is new.
    InputFieldAdded = "input-field-added", Safe, "Nothing to do.";
    /// A field of an input type has another type.
    InputFieldTypeChanged = "input-field-type-changed", Breaking,
        "Add a field with the new type under another name, and deprecate this one.";
    /// A field of an input type may no longer be null or left out.
    InputFieldBecameNonNull = "input-field-became-non-null", Breaking,
        "Keep it nullable, and refuse null in the resolver with an error that says what to give.";
    /// A field of an input type may be null now.
    InputFieldBecameNullable = "input-field-became-nullable", Safe, "Nothing to do.";
    /// A field of an input type has another value where it isn't given.
    InputFieldDefaultChanged = "input-field-default-changed", Dangerous,
        "Clients that don't send it mean something else from now on: add a new field where that matters.";
    /// A field of an input type that is never null has no default value any more.
    InputFieldDefaultRemoved = "input-field-default-removed", Breaking,
        "Keep the default value, or make the field nullable.";
    /// Exactly one field of an input type has to be given.
    InputBecameOneOf = "input-became-one-of", Breaking,
        "Add another input type with `@oneOf`, and an argument that takes it.";
    /// Any number of fields of an input type may be given.
    InputCeasedToBeOneOf = "input-ceased-to-be-one-of", Safe, "Nothing to do.";

    /// A value that clients may send is gone from an enum.
    EnumValueRemoved = "enum-value-removed", Breaking,
        "Keep the value, deprecate it, and remove it once no client sends it.";
    /// A value that is only ever answered is gone from an enum.
    AnsweredEnumValueRemoved = "answered-enum-value-removed", Dangerous,
        "Be sure that nothing answers it any more, stored data included: it would be an error.";
    /// An enum that is answered has another value.
    EnumValueAdded = "enum-value-added", Dangerous,
        "Clients that tell all values apart need a way for one that they don't know.";
    /// An enum that is only ever sent has another value.
    SentEnumValueAdded = "sent-enum-value-added", Safe, "Nothing to do.";

    /// A union lost a member.
    UnionMemberRemoved = "union-member-removed", Breaking,
        "Keep the member, and remove it once no operation has a fragment on it there.";
    /// A union has another member.
    UnionMemberAdded = "union-member-added", Dangerous,
        "Clients that tell all members apart need a way for one that they don't know.";
    /// A type no longer implements an interface.
    ImplementationRemoved = "implementation-removed", Breaking,
        "Keep `implements`, and remove it once no operation reaches the type through the interface.";
    /// A type implements another interface.
    ImplementationAdded = "implementation-added", Dangerous,
        "Clients that tell all types of the interface apart need a way for one that they don't know.";

    /// A directive that operations may have is gone.
    DirectiveRemoved = "directive-removed", Breaking,
        "Keep the directive until no operation has it.";
    /// A directive that operations may have is new.
    DirectiveAdded = "directive-added", Safe, "Nothing to do.";
    /// A directive may no longer stand where it could.
    DirectiveLocationRemoved = "directive-location-removed", Breaking,
        "Keep the location until no operation has the directive there.";
    /// A directive may stand in another place.
    DirectiveLocationAdded = "directive-location-added", Safe, "Nothing to do.";
    /// A directive may no longer stand twice in one place.
    DirectiveNoLongerRepeatable = "directive-no-longer-repeatable", Breaking,
        "Keep `repeatable` until no operation has the directive twice in one place.";
    /// A directive may stand several times in one place.
    DirectiveBecameRepeatable = "directive-became-repeatable", Safe, "Nothing to do.";
    /// An argument of a directive is gone.
    DirectiveArgumentRemoved = "directive-argument-removed", Breaking,
        "Keep the argument until no operation gives it.";
    /// An argument of a directive that has to be given is new.
    RequiredDirectiveArgumentAdded = "required-directive-argument-added", Breaking,
        "Make it nullable, or give it a default value.";
    /// An argument of a directive that may be given is new.
    DirectiveArgumentAdded = "directive-argument-added", Safe, "Nothing to do.";
    /// An argument of a directive has another type.
    DirectiveArgumentTypeChanged = "directive-argument-type-changed", Breaking,
        "Add an argument with the new type under another name.";
    /// An argument of a directive may no longer be null or left out.
    DirectiveArgumentBecameNonNull = "directive-argument-became-non-null", Breaking,
        "Keep it nullable.";
    /// An argument of a directive may be null now.
    DirectiveArgumentBecameNullable = "directive-argument-became-nullable", Safe, "Nothing to do.";
    /// An argument of a directive has another value where it isn't given.
    DirectiveArgumentDefaultChanged = "directive-argument-default-changed", Dangerous,
        "Operations that don't give it mean something else from now on.";
    /// An argument of a directive that is never null has no default value any more.
    DirectiveArgumentDefaultRemoved = "directive-argument-default-removed", Breaking,
        "Keep the default value, or make the argument nullable.";

    /// A kind of operation is gone.
    RootRemoved = "root-removed", Breaking,
        "Keep the root type and its fields until no client sends such an operation.";
    /// A kind of operation is new.
    RootAdded = "root-added", Safe, "Nothing to do.";
    /// A kind of operation starts at another type.
    RootChanged = "root-changed", Breaking,
        "Keep the root type's name: fragments on it and `__typename` say it.";

    /// What a scalar looks like is specified elsewhere.
    ScalarSpecificationChanged = "scalar-specification-changed", Dangerous,
        "Where its text looks different from now on, add a scalar under another name instead.";
    /// A part of the schema is deprecated.
    Deprecated = "deprecated", Safe, "Tell who uses it; the reason should name what to use instead.";
    /// A part of the schema is no longer deprecated.
    DeprecationRemoved = "deprecation-removed", Safe, "Nothing to do.";
    /// A part of the schema is described in other words.
    DescriptionChanged = "description-changed", Safe,
        "Where the words change the meaning (a unit, a zone, a rounding), add a field under another name instead.";
}
