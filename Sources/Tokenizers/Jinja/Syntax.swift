/// A name used in a template, as its index in the template's table of names.
typealias NameIndex = Int32

/// An expression: what Jinja's grammar gives after precedence, names resolved to indices and filters to functions.
indirect enum Expression: Sendable {
    case literal(Literal)
    case name(NameIndex)
    case list([Expression])
    case tuple([Expression])
    case dictionary([(key: Expression, value: Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
    case call(Expression, ArgumentList, line: Int)
    /// A filter; the input is nil only in `{% filter %}` and block `set`, which feed it their body.
    case filter(Expression?, FilterReference, ArgumentList, line: Int)
    case test(Expression, TestReference, ArgumentList, line: Int)
    case negate(Expression)
    case plus(Expression)
    case not(Expression)
    case binary(BinaryOperator, Expression, Expression)
    /// A chain `a < b in c`: each operand evaluated once, stopping at the first comparison that fails.
    case compare(Expression, [(operation: Comparison, operand: Expression)])
    case and(Expression, Expression)
    case or(Expression, Expression)
    /// `a ~ b ~ c`.
    case concatenate([Expression])
    case conditional(condition: Expression, then: Expression, otherwise: Expression?)
}

/// A constant written in the template.
enum Literal: Sendable {
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
}

/// An arithmetic operator.
enum BinaryOperator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
}

/// A comparison operator.
enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

/// A filter by name. The function is nil for a name that does not exist: Jinja accepts that in a branch that is never taken.
struct FilterReference: Sendable {
    var name: String
    var function: FilterFunction?
}

/// A test by name; see `FilterReference` for why the function may be nil.
struct TestReference: Sendable {
    var name: String
    var function: TestFunction?
}

/// The arguments of a call as written.
struct ArgumentList: Sendable {
    var positional: [Expression] = []
    var keyword: [(name: String, value: Expression)] = []
    /// `*values`.
    var unpackedList: Expression?
    /// `**values`.
    var unpackedDictionary: Expression?
}

/// What an assignment writes to.
indirect enum Target: Sendable {
    case name(NameIndex)
    /// `namespace.attribute`.
    case attribute(NameIndex, String)
    case tuple([Target])
}

/// A statement and the line it starts on.
struct Statement: Sendable {
    var line: Int
    var kind: Kind

    indirect enum Kind: Sendable {
        /// Template text, written as it is.
        case text(String)
        case output(Expression)
        case loop(Loop)
        case branch([(condition: Expression, body: [Statement])], otherwise: [Statement])
        case set(Target, Expression)
        /// `{% set x %}…{% endset %}`; the filter has no input of its own.
        case setBlock(Target, filter: Expression?, body: [Statement])
        case macro(MacroDefinition)
        case callBlock(Expression, caller: MacroDefinition)
        case filterBlock(Expression, body: [Statement])
        case with([(target: Target, value: Expression)], body: [Statement])
        case generation(body: [Statement])
        case breakLoop
        case continueLoop
    }

    struct Loop: Sendable {
        var target: Target
        var iterable: Expression
        var filter: Expression?
        var body: [Statement]
        var otherwise: [Statement]
        /// Whether the body mentions `loop`.
        var usesLoop: Bool
    }
}

/// A macro, or the body of a call block, as written.
final class MacroDefinition: Sendable {
    let name: String
    let nameIndex: NameIndex
    let parameters: [(name: NameIndex, text: String, defaultValue: Expression?)]
    let body: [Statement]
    /// Which of the names `varargs`, `kwargs` and `caller` the body mentions: only then does the macro accept such arguments.
    let usesVarargs, usesKwargs, usesCaller: Bool

    init(
        name: String, nameIndex: NameIndex, parameters: [(name: NameIndex, text: String, defaultValue: Expression?)],
        body: [Statement], mentions: Set<String>
    ) {
        self.name = name
        self.nameIndex = nameIndex
        self.parameters = parameters
        self.body = body
        usesVarargs = mentions.contains("varargs")
        usesKwargs = mentions.contains("kwargs")
        usesCaller = mentions.contains("caller")
    }
}

/// A parsed template.
struct Syntax: Sendable {
    var body: [Statement]
    /// Every name the template mentions; a `NameIndex` points into it.
    var names: [String]
    /// The index of the name `loop`, if the template mentions it.
    var loopName: NameIndex?
    /// The index of the name `caller`, if the template mentions it.
    var callerName: NameIndex?
    /// The indices of the names `varargs` and `kwargs`, if the template mentions them.
    var varargsName, kwargsName: NameIndex?
    /// Whether the template holds a `{% generation %}` block.
    var hasGenerationBlocks: Bool
}
