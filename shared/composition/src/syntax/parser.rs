//! Schemas, by the grammar of the GraphQL specification's appendix B.

use super::{
    Definition, Directive, DirectiveDefinition, EnumValue, Field, Input, Kind, Name, Pos, Root,
    SchemaDefinition, SyntaxError, TypeDefinition, TypeRef, Value,
    lexer::{Token, tokens},
};

/// How deep lists, objects and selections may nest: no honest schema comes near, and recursion has an end.
const MAX_DEPTH: usize = 64;

/// Reads a schema with its extensions.
pub(crate) fn parse_schema(text: &str) -> Result<Vec<Definition>> {
    let mut parser = Parser::new(text)?;
    let mut definitions = Vec::new();
    while *parser.peek() != Token::End {
        definitions.push(parser.definition()?);
    }
    Ok(definitions)
}

pub(super) struct Parser {
    tokens: Vec<(Token, Pos)>,
    at: usize,
    depth: usize,
}

type Result<T> = std::result::Result<T, SyntaxError>;

impl Parser {
    pub(super) fn new(text: &str) -> Result<Self> {
        Ok(Self { tokens: tokens(text)?, at: 0, depth: 0 })
    }

    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(super) fn pos(&self) -> Pos {
        self.tokens[self.at].1
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].0.clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.peek(), Token::Punctuator(known) if *known == text)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name == word)
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.is(text);
        if found {
            self.next();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn expect(&mut self, text: &str) -> Result<()> {
        if self.take(text) { Ok(()) } else { Err(self.unexpected(&format!("`{text}`"))) }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> SyntaxError {
        SyntaxError {
            message: format!("expected {wanted}, found {}", self.peek().described()),
            pos: self.pos(),
        }
    }

    /// Runs `parse` one level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError {
                message: format!("nests deeper than {MAX_DEPTH} levels"),
                pos: self.pos(),
            });
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub(super) fn name(&mut self, what: &str) -> Result<Name> {
        let pos = self.pos();
        match self.peek() {
            Token::Name(_) => {
                let Token::Name(text) = self.next() else { unreachable!("it was a name") };
                Ok(Name { text, pos })
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn description(&mut self) -> Option<String> {
        match self.peek() {
            Token::Text(_) => match self.next() {
                Token::Text(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// What stands between two punctuators, at least one.
    fn between<T>(
        &mut self,
        open: &str,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        if !self.take(open) {
            return Ok(Vec::new());
        }
        let mut items = vec![item(self)?];
        while !self.take(close) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn definition(&mut self) -> Result<Definition> {
        let description = self.description();
        let is_extension = description.is_none() && self.take_word("extend");
        let Token::Name(word) = self.peek().clone() else {
            return Err(self.unexpected("a definition (`type`, `interface`, `schema` …)"));
        };
        let kind = match word.as_str() {
            "schema" => {
                self.next();
                return self.schema(is_extension).map(Definition::Schema);
            }
            "directive" if !is_extension => {
                self.next();
                return self.directive_definition(description).map(Definition::Directive);
            }
            "scalar" => Kind::Scalar,
            "type" => Kind::Object,
            "interface" => Kind::Interface,
            "union" => Kind::Union,
            "enum" => Kind::Enum,
            "input" => Kind::Input,
            _ => return Err(self.unexpected("a definition (`type`, `interface`, `schema` …)")),
        };
        self.next();
        let name = self.name(&format!("the name of the {}", kind.keyword()))?;
        let mut definition = TypeDefinition {
            is_extension,
            description,
            name,
            kind,
            directives: Vec::new(),
            interfaces: Vec::new(),
            fields: Vec::new(),
            members: Vec::new(),
            values: Vec::new(),
            inputs: Vec::new(),
        };
        if matches!(kind, Kind::Object | Kind::Interface) && self.take_word("implements") {
            self.take("&");
            definition.interfaces.push(self.name("the name of an interface")?);
            while self.take("&") {
                definition.interfaces.push(self.name("the name of an interface")?);
            }
        }
        definition.directives = self.directives()?;
        match kind {
            Kind::Scalar => {}
            Kind::Object | Kind::Interface => definition.fields = self.between("{", "}", Self::field)?,
            Kind::Union => {
                if self.take("=") {
                    self.take("|");
                    definition.members.push(self.name("the name of a member")?);
                    while self.take("|") {
                        definition.members.push(self.name("the name of a member")?);
                    }
                }
            }
            Kind::Enum => definition.values = self.between("{", "}", Self::enum_value)?,
            Kind::Input => definition.inputs = self.between("{", "}", Self::input)?,
        }
        Ok(Definition::Type(definition))
    }

    fn schema(&mut self, is_extension: bool) -> Result<SchemaDefinition> {
        let directives = self.directives()?;
        if !is_extension && !self.is("{") {
            return Err(self.unexpected("`{` and the root types"));
        }
        let roots = self.between("{", "}", |parser| {
            let word = parser.name("`query`, `mutation` or `subscription`")?;
            let root = Root::ALL.into_iter().find(|root| root.keyword() == word.text).ok_or_else(|| {
                SyntaxError {
                    message: format!("expected `query`, `mutation` or `subscription`, found `{}`", word.text),
                    pos: word.pos,
                }
            })?;
            parser.expect(":")?;
            Ok((root, parser.name("the name of the root type")?))
        })?;
        Ok(SchemaDefinition { directives, roots })
    }

    fn directive_definition(&mut self, description: Option<String>) -> Result<DirectiveDefinition> {
        self.expect("@")?;
        let name = self.name("the name of the directive")?;
        let arguments = self.between("(", ")", Self::input)?;
        let is_repeatable = self.take_word("repeatable");
        if !self.take_word("on") {
            return Err(self.unexpected("`on` and where the directive may stand"));
        }
        self.take("|");
        let mut locations = vec![self.name("a directive location")?];
        while self.take("|") {
            locations.push(self.name("a directive location")?);
        }
        Ok(DirectiveDefinition { description, name, arguments, is_repeatable, locations })
    }

    fn field(&mut self) -> Result<Field> {
        let description = self.description();
        let name = self.name("a field")?;
        let arguments = self.between("(", ")", Self::input)?;
        self.expect(":")?;
        Ok(Field { description, name, arguments, ty: self.ty()?, directives: self.directives()? })
    }

    fn input(&mut self) -> Result<Input> {
        let description = self.description();
        let name = self.name("a name")?;
        self.expect(":")?;
        let ty = self.ty()?;
        let default = if self.take("=") { Some(self.value()?) } else { None };
        Ok(Input { description, name, ty, default, directives: self.directives()? })
    }

    fn enum_value(&mut self) -> Result<EnumValue> {
        let description = self.description();
        let name = self.name("a value of the enum")?;
        if matches!(name.text.as_str(), "true" | "false" | "null") {
            return Err(SyntaxError {
                message: format!("`{}` can't be a value of an enum", name.text),
                pos: name.pos,
            });
        }
        Ok(EnumValue { description, name, directives: self.directives()? })
    }

    fn ty(&mut self) -> Result<TypeRef> {
        let ty = if self.take("[") {
            let inner = self.nested(Self::ty)?;
            self.expect("]")?;
            TypeRef::List(Box::new(inner))
        } else {
            TypeRef::Named(self.name("a type")?.text)
        };
        Ok(if self.take("!") { TypeRef::NonNull(Box::new(ty)) } else { ty })
    }

    pub(super) fn directives(&mut self) -> Result<Vec<Directive>> {
        let mut directives = Vec::new();
        while self.is("@") {
            let pos = self.pos();
            self.next();
            let name = self.name("the name of a directive")?.text;
            let arguments = self.between("(", ")", |parser| {
                let name = parser.name("an argument")?;
                parser.expect(":")?;
                Ok((name, parser.value()?))
            })?;
            directives.push(Directive { name, pos, arguments });
        }
        Ok(directives)
    }

    fn value(&mut self) -> Result<Value> {
        if self.is("[") {
            self.next();
            return self.nested(|parser| {
                let mut items = Vec::new();
                while !parser.take("]") {
                    items.push(parser.value()?);
                }
                Ok(Value::List(items))
            });
        }
        if self.is("{") {
            self.next();
            return self.nested(|parser| {
                let mut fields = Vec::new();
                while !parser.take("}") {
                    let key = parser.name("a field")?;
                    parser.expect(":")?;
                    fields.push((key.text, parser.value()?));
                }
                Ok(Value::Object(fields))
            });
        }
        match self.peek() {
            Token::Name(_) | Token::Number(_) | Token::Text(_) => Ok(match self.next() {
                Token::Name(name) => match name.as_str() {
                    "true" => Value::Boolean(true),
                    "false" => Value::Boolean(false),
                    "null" => Value::Null,
                    _ => Value::Enum(name),
                },
                Token::Number(text) => Value::Number(text),
                Token::Text(text) => Value::Text(text),
                Token::Punctuator(_) | Token::End => unreachable!("it was a value"),
            }),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// The arguments of a field in a selection: only their text matters.
    pub(super) fn arguments(&mut self) -> Result<Vec<(Name, Value)>> {
        self.between("(", ")", |parser| {
            let name = parser.name("an argument")?;
            parser.expect(":")?;
            Ok((name, parser.value()?))
        })
    }
}
