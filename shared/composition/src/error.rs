//! What is wrong with subgraphs, and what is worth knowing of them.

use serde::Serialize;

/// A place in a subgraph's schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The subgraph's name.
    pub subgraph: String,
    /// The line of its SDL, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
}

/// Why subgraphs do not compose: one thing that is wrong, in one subgraph or between several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompositionError {
    /// What kind of thing; stable.
    pub code: Code,
    /// What is wrong, in one sentence that names the subgraphs; where a query is refused, the query and what was
    /// tried follow on lines of their own.
    pub message: String,
    /// Where, in the order in which the message speaks of it; empty if no line is to blame.
    pub locations: Vec<Location>,
    /// What to do.
    pub help: Option<String>,
}

impl std::fmt::Display for CompositionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)
    }
}

impl std::error::Error for CompositionError {}

/// Something that composes, but perhaps not as its authors think.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hint {
    /// What kind of thing; stable.
    pub code: HintCode,
    /// What was seen and what was made of it.
    pub message: String,
    /// Where.
    pub locations: Vec<Location>,
}

impl std::fmt::Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)
    }
}

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// All there are, in the order of their names.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as it is published.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// The codes of Apollo Federation's published list of composition errors, as far as they can come up here.
    Code {
        /// An `@composeDirective` can't be obeyed.
        DirectiveComposition = "DIRECTIVE_COMPOSITION_ERROR",
        /// A default value uses something `@inaccessible`.
        DefaultValueUsesInaccessible = "DEFAULT_VALUE_USES_INACCESSIBLE",
        /// No value of an enum that inputs use is in all subgraphs.
        EmptyMergedEnumType = "EMPTY_MERGED_ENUM_TYPE",
        /// No field of an input type is in all subgraphs.
        EmptyMergedInputType = "EMPTY_MERGED_INPUT_TYPE",
        /// An enum that is both input and output differs.
        EnumValueMismatch = "ENUM_VALUE_MISMATCH",
        /// An `@external` field lacks an argument that the field has elsewhere.
        ExternalArgumentMissing = "EXTERNAL_ARGUMENT_MISSING",
        /// An argument of an `@external` field has another type elsewhere.
        ExternalArgumentTypeMismatch = "EXTERNAL_ARGUMENT_TYPE_MISMATCH",
        /// A field is `@external` wherever it is.
        ExternalMissingOnBase = "EXTERNAL_MISSING_ON_BASE",
        /// `@external` on an interface's field.
        ExternalOnInterface = "EXTERNAL_ON_INTERFACE",
        /// An `@external` field has another type elsewhere.
        ExternalTypeMismatch = "EXTERNAL_TYPE_MISMATCH",
        /// An `@external` field that nothing uses.
        ExternalUnused = "EXTERNAL_UNUSED",
        /// An argument has other defaults.
        FieldArgumentDefaultMismatch = "FIELD_ARGUMENT_DEFAULT_MISMATCH",
        /// An argument has types that do not fit.
        FieldArgumentTypeMismatch = "FIELD_ARGUMENT_TYPE_MISMATCH",
        /// A field has types that do not fit.
        FieldTypeMismatch = "FIELD_TYPE_MISMATCH",
        /// A field is hidden that an interface shows.
        ImplementedByInaccessible = "IMPLEMENTED_BY_INACCESSIBLE",
        /// An input field has other defaults.
        InputFieldDefaultMismatch = "INPUT_FIELD_DEFAULT_MISMATCH",
        /// An object lacks a field that its interface has through another subgraph.
        InterfaceFieldNoImplem = "INTERFACE_FIELD_NO_IMPLEM",
        /// A subgraph has a key on an interface, but not all that implement it.
        InterfaceKeyMissingImplementationType = "INTERFACE_KEY_MISSING_IMPLEMENTATION_TYPE",
        /// A key of an interface is missing on what implements it.
        InterfaceKeyNotOnImplementation = "INTERFACE_KEY_NOT_ON_IMPLEMENTATION",
        /// `@interfaceObject` where it can't be.
        InterfaceObjectUsage = "INTERFACE_OBJECT_USAGE_ERROR",
        /// Several subgraphs resolve a field that not all of them share.
        InvalidFieldSharing = "INVALID_FIELD_SHARING",
        /// The SDL is no valid schema.
        InvalidGraphql = "INVALID_GRAPHQL",
        /// `@link` can't be read.
        InvalidLinkDirectiveUsage = "INVALID_LINK_DIRECTIVE_USAGE",
        /// `@shareable` where it can't be.
        InvalidShareableUsage = "INVALID_SHAREABLE_USAGE",
        /// A subgraph's name can't be used.
        InvalidSubgraphName = "INVALID_SUBGRAPH_NAME",
        /// A key's fields have arguments.
        KeyFieldsHasArgs = "KEY_FIELDS_HAS_ARGS",
        /// A key selects what can't be part of one.
        KeyFieldsSelectInvalidType = "KEY_FIELDS_SELECT_INVALID_TYPE",
        /// A key has a directive inside.
        KeyHasDirectiveInFieldsArg = "KEY_HAS_DIRECTIVE_IN_FIELDS_ARG",
        /// A key selects what is not there.
        KeyInvalidFields = "KEY_INVALID_FIELDS",
        /// A key is no string.
        KeyInvalidFieldsType = "KEY_INVALID_FIELDS_TYPE",
        /// Subgraphs import a directive under other names.
        LinkImportNameMismatch = "LINK_IMPORT_NAME_MISMATCH",
        /// A merged directive stands on an `@external` field.
        MergedDirectiveApplicationOnExternal = "MERGED_DIRECTIVE_APPLICATION_ON_EXTERNAL",
        /// No subgraph has a query.
        NoQueries = "NO_QUERIES",
        /// All that is in a type is `@inaccessible`, but the type isn't.
        OnlyInaccessibleChildren = "ONLY_INACCESSIBLE_CHILDREN",
        /// `@override` beside a directive that makes no sense with it.
        OverrideCollisionWithAnotherDirective = "OVERRIDE_COLLISION_WITH_ANOTHER_DIRECTIVE",
        /// A field overrides itself.
        OverrideFromSelf = "OVERRIDE_FROM_SELF_ERROR",
        /// A label that is none.
        OverrideLabelInvalid = "OVERRIDE_LABEL_INVALID",
        /// `@override` on an interface's field.
        OverrideOnInterface = "OVERRIDE_ON_INTERFACE",
        /// Overrides in a row.
        OverrideSourceHasOverride = "OVERRIDE_SOURCE_HAS_OVERRIDE",
        /// `@provides` selects a field with arguments.
        ProvidesFieldsHasArgs = "PROVIDES_FIELDS_HAS_ARGS",
        /// `@provides` selects what is not external.
        ProvidesFieldsMissingExternal = "PROVIDES_FIELDS_MISSING_EXTERNAL",
        /// `@provides` has a directive inside.
        ProvidesHasDirectiveInFieldsArg = "PROVIDES_HAS_DIRECTIVE_IN_FIELDS_ARG",
        /// `@provides` selects what is not there.
        ProvidesInvalidFields = "PROVIDES_INVALID_FIELDS",
        /// `@provides` is no string.
        ProvidesInvalidFieldsType = "PROVIDES_INVALID_FIELDS_TYPE",
        /// `@provides` on a field that returns no object.
        ProvidesOnNonObjectField = "PROVIDES_ON_NON_OBJECT_FIELD",
        /// `@provides` on an interface's field.
        ProvidesUnsupportedOnInterface = "PROVIDES_UNSUPPORTED_ON_INTERFACE",
        /// The query root is hidden.
        QueryRootTypeInaccessible = "QUERY_ROOT_TYPE_INACCESSIBLE",
        /// Something visible refers to something hidden.
        ReferencedInaccessible = "REFERENCED_INACCESSIBLE",
        /// An argument that some subgraph can't do without is missing in another.
        RequiredArgumentMissingInSomeSubgraph = "REQUIRED_ARGUMENT_MISSING_IN_SOME_SUBGRAPH",
        /// Something hidden can't be left out.
        RequiredInaccessible = "REQUIRED_INACCESSIBLE",
        /// An input field that some subgraph can't do without is missing in another.
        RequiredInputFieldMissingInSomeSubgraph = "REQUIRED_INPUT_FIELD_MISSING_IN_SOME_SUBGRAPH",
        /// `@requires` selects what is not external.
        RequiresFieldsMissingExternal = "REQUIRES_FIELDS_MISSING_EXTERNAL",
        /// `@requires` has a directive inside.
        RequiresHasDirectiveInFieldsArg = "REQUIRES_HAS_DIRECTIVE_IN_FIELDS_ARG",
        /// `@requires` selects what is not there.
        RequiresInvalidFields = "REQUIRES_INVALID_FIELDS",
        /// `@requires` is no string.
        RequiresInvalidFieldsType = "REQUIRES_INVALID_FIELDS_TYPE",
        /// `@requires` on an interface's field.
        RequiresUnsupportedOnInterface = "REQUIRES_UNSUPPORTED_ON_INTERFACE",
        /// A type is called `Mutation` and is not the mutation root.
        RootMutationUsed = "ROOT_MUTATION_USED",
        /// A type is called `Query` and is not the query root.
        RootQueryUsed = "ROOT_QUERY_USED",
        /// A type is called `Subscription` and is not the subscription root.
        RootSubscriptionUsed = "ROOT_SUBSCRIPTION_USED",
        /// A query that the schema allows and no subgraphs can answer.
        Satisfiability = "SATISFIABILITY_ERROR",
        /// A shared field returns objects that no two subgraphs have in common.
        ShareableHasMismatchedRuntimeTypes = "SHAREABLE_HAS_MISMATCHED_RUNTIME_TYPES",
        /// A name is an object here and an enum there.
        TypeKindMismatch = "TYPE_KIND_MISMATCH",
        /// A version of federation that is not known.
        UnknownFederationLinkVersion = "UNKNOWN_FEDERATION_LINK_VERSION",
        /// A part of federation that is not supported.
        UnsupportedFeature = "UNSUPPORTED_FEATURE",
    }
}

codes! {
    /// The codes of Apollo Federation's published list of composition hints, as far as they can come up here.
    HintCode {
        /// A field overrides one in a subgraph that isn't there.
        FromSubgraphDoesNotExist = "FROM_SUBGRAPH_DOES_NOT_EXIST",
        /// An argument is left out: not all subgraphs have it.
        InconsistentArgumentPresence = "INCONSISTENT_ARGUMENT_PRESENCE",
        /// An argument's types differ; the strictest is taken.
        InconsistentButCompatibleArgumentType = "INCONSISTENT_BUT_COMPATIBLE_ARGUMENT_TYPE",
        /// A field's types differ; the most general is taken.
        InconsistentButCompatibleFieldType = "INCONSISTENT_BUT_COMPATIBLE_FIELD_TYPE",
        /// A default is only given in some subgraphs.
        InconsistentDefaultValuePresence = "INCONSISTENT_DEFAULT_VALUE_PRESENCE",
        /// Descriptions differ; one is taken.
        InconsistentDescription = "INCONSISTENT_DESCRIPTION",
        /// A type is an entity in some subgraphs only.
        InconsistentEntity = "INCONSISTENT_ENTITY",
        /// An enum's value is left out: not all subgraphs have it, and inputs use it.
        InconsistentEnumValueForInputEnum = "INCONSISTENT_ENUM_VALUE_FOR_INPUT_ENUM",
        /// An enum's values differ; all are taken.
        InconsistentEnumValueForOutputEnum = "INCONSISTENT_ENUM_VALUE_FOR_OUTPUT_ENUM",
        /// A directive for queries is left out: not all subgraphs have it.
        InconsistentExecutableDirectivePresence = "INCONSISTENT_EXECUTABLE_DIRECTIVE_PRESENCE",
        /// An input field is left out: not all subgraphs have it.
        InconsistentInputObjectField = "INCONSISTENT_INPUT_OBJECT_FIELD",
        /// A directive's arguments differ; one application, or all of them together, is taken.
        InconsistentNonRepeatableDirectiveArguments = "INCONSISTENT_NON_REPEATABLE_DIRECTIVE_ARGUMENTS",
        /// A shared field returns other objects here than there.
        InconsistentRuntimeTypesForShareableReturn = "INCONSISTENT_RUNTIME_TYPES_FOR_SHAREABLE_RETURN",
        /// A union's members differ; all are taken.
        InconsistentUnionMember = "INCONSISTENT_UNION_MEMBER",
        /// A value type's fields differ.
        InconsistentValueTypeField = "INCONSISTENT_OBJECT_VALUE_TYPE_FIELD",
        /// The field that was overridden can be taken out of its subgraph.
        OverriddenFieldCanBeRemoved = "OVERRIDDEN_FIELD_CAN_BE_REMOVED",
        /// `@override` is no longer needed: nothing is there to override.
        OverrideDirectiveCanBeRemoved = "OVERRIDE_DIRECTIVE_CAN_BE_REMOVED",
        /// A field is being moved.
        OverrideMigrationInProgress = "OVERRIDE_MIGRATION_IN_PROGRESS",
    }
}
