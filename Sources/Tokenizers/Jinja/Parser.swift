import Files

/// Reads the statements of a template; `Parser+Expressions.swift` reads its expressions.
struct Parser {
    /// How deep statements and expressions may nest, so that no template exhausts the stack of the parser or the interpreter.
    static let deepestNesting = 100
    /// How many nodes one expression may have. Chains such as `a + b + …` nest without the parser's own nesting.
    static let largestExpression = 5_000

    private let tokens: [Token]
    private var position = 0
    private var nesting = 0
    var expressionNodes = 0
    /// How many `if` branches surround this place. Jinja reports an unknown filter in one only when it is run.
    var conditionalDepth = 0
    private var names: [String: NameIndex] = [:]
    private var nameTexts: [String] = []
    /// The names mentioned in each macro body and loop body being read, innermost last.
    private var mentions: [Set<String>] = []
    private var hasGenerationBlocks = false

    /// Parses a template.
    static func parse(_ source: String) throws -> Syntax {
        var parser = Parser(tokens: try Lexer.tokens(of: source))
        let body = try parser.parseBody(until: [])
        return Syntax(
            body: body, names: parser.nameTexts, loopName: parser.names["loop"], callerName: parser.names["caller"],
            varargsName: parser.names["varargs"], kwargsName: parser.names["kwargs"],
            hasGenerationBlocks: parser.hasGenerationBlocks)
    }

    private init(tokens: [Token]) { self.tokens = tokens }

    // MARK: Tokens

    var current: Token { tokens[position] }
    var following: Token { tokens[min(position + 1, tokens.count - 1)] }

    mutating func advance() { position = min(position + 1, tokens.count - 1) }

    func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }
    func isName(_ name: String) -> Bool { current.kind == .name(name) }

    mutating func skip(symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func skip(name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func expect(symbol: String) throws {
        guard skip(symbol: symbol) else { throw fault("expected '\(symbol)', found \(current.description)") }
    }

    mutating func expectName() throws -> String {
        guard case .name(let name) = current.kind else { throw fault("expected a name, found \(current.description)") }
        advance()
        return name
    }

    func fault(_ message: String, line: Int? = nil, hint: String? = nil) -> InputError {
        InputError(message, place: "line \(line ?? current.line)", hint: hint)
    }

    /// The index of a name, which also counts as mentioned in the bodies being read.
    mutating func index(of name: String) -> NameIndex {
        for depth in mentions.indices { mentions[depth].insert(name) }
        if let known = names[name] { return known }
        let index = NameIndex(nameTexts.count)
        names[name] = index
        nameTexts.append(name)
        return index
    }

    /// Runs a nested part of the grammar, within the bound on nesting.
    mutating func nested<Result>(_ parse: (inout Parser) throws -> Result) throws -> Result {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= Self.deepestNesting else {
            throw fault("nested more than \(Self.deepestNesting) levels deep")
        }
        return try parse(&self)
    }

    /// Reads a body and says which names it mentions.
    private mutating func parseMentioning(_ parse: (inout Parser) throws -> [Statement]) throws -> (
        [Statement], Set<String>
    ) {
        mentions.append([])
        let body = try parse(&self)
        return (body, mentions.removeLast())
    }

    // MARK: Bodies

    /// Statements up to a block tag that starts with one of the names, whose name is left to be read; without names, to the end.
    private mutating func parseBody(until ends: Set<String>) throws -> [Statement] {
        try nested { try $0.parseStatements(until: ends) }
    }

    private mutating func parseStatements(until ends: Set<String>) throws -> [Statement] {
        let opened = current.line
        var body: [Statement] = []
        while true {
            let line = current.line
            switch current.kind {
            case .text(let text):
                advance()
                body.append(Statement(line: line, kind: .text(text)))
            case .variableBegin:
                advance()
                body.append(Statement(line: line, kind: .output(try parseTuple())))
                guard current.kind == .variableEnd else { throw fault("expected '}}', found \(current.description)") }
                advance()
            case .blockBegin:
                advance()
                if case .name(let name) = current.kind, ends.contains(name) { return body }
                body.append(try parseStatement())
                try expectBlockEnd()
            case .end where ends.isEmpty: return body
            case .end:
                let wanted = ends.filter { $0.hasPrefix("end") }.sorted().joined(separator: " or ")
                throw fault("a block opened near line \(opened) is not closed: '{% \(wanted) %}' is missing")
            default: throw fault("unexpected \(current.description)")
            }
        }
    }

    private mutating func expectBlockEnd() throws {
        guard current.kind == .blockEnd else { throw fault("expected '%}', found \(current.description)") }
        advance()
    }

    /// The body that follows the tag being read, up to and including the name of its end tag.
    private mutating func parseBlock(_ end: String) throws -> [Statement] {
        try expectBlockEnd()
        let body = try parseBody(until: [end])
        advance()
        return body
    }

    // MARK: Statements

    private static let statements = [
        "for", "if", "set", "macro", "call", "filter", "with", "generation", "break", "continue", "raw",
    ]

    private mutating func parseStatement() throws -> Statement {
        let line = current.line
        let name = try expectName()
        let kind: Statement.Kind
        switch name {
        case "for": kind = try parseLoop()
        case "if": kind = try parseBranch()
        case "set": kind = try parseSet()
        case "macro": kind = try parseMacro()
        case "call": kind = try parseCallBlock(line)
        case "filter": kind = .filterBlock(try parseFilterChain(nil), body: try parseBlock("endfilter"))
        case "with": kind = try parseWith()
        case "generation":
            hasGenerationBlocks = true
            kind = .generation(body: try parseBlock("endgeneration"))
        case "break": kind = .breakLoop
        case "continue": kind = .continueLoop
        case "extends", "block", "include", "import", "from":
            throw fault("'{% \(name) %}' needs other template files, which a chat template does not have", line: line)
        default:
            let nearest = nearestName(to: name, among: Self.statements)
            throw fault(
                "unknown statement '\(name.prefix(60))'", line: line, hint: nearest.map { "Did you mean '\($0)'?" })
        }
        return Statement(line: line, kind: kind)
    }

    private mutating func parseLoop() throws -> Statement.Kind {
        let target = try parseTarget(isLoop: true)
        guard skip(name: "in") else { throw fault("expected 'in', found \(current.description)") }
        let iterable = try parseTuple(withConditional: false, stopsAt: "recursive")
        let filter = skip(name: "if") ? try parseExpression() : nil
        guard !isName("recursive") else { throw fault("recursive loops are not supported", hint: "Use a macro") }
        try expectBlockEnd()
        let (body, mentioned) = try parseMentioning { try $0.parseBody(until: ["endfor", "else"]) }
        var otherwise: [Statement] = []
        if skip(name: "else") {
            otherwise = try parseBlock("endfor")
        } else {
            advance()
        }
        return .loop(
            Statement.Loop(
                target: target, iterable: iterable, filter: filter, body: body, otherwise: otherwise,
                usesLoop: mentioned.contains("loop")))
    }

    private mutating func parseBranch() throws -> Statement.Kind {
        conditionalDepth += 1
        defer { conditionalDepth -= 1 }
        var branches: [(condition: Expression, body: [Statement])] = []
        while true {
            let condition = try parseTuple(withConditional: false)
            try expectBlockEnd()
            branches.append((condition, try parseBody(until: ["elif", "else", "endif"])))
            if skip(name: "elif") { continue }
            if skip(name: "else") { return .branch(branches, otherwise: try parseBlock("endif")) }
            advance()
            return .branch(branches, otherwise: [])
        }
    }

    private mutating func parseSet() throws -> Statement.Kind {
        let target = try parseTarget()
        if skip(symbol: "=") { return .set(target, try parseTuple()) }
        let filter = isSymbol("|") ? try parseFilterChain(nil) : nil
        return .setBlock(target, filter: filter, body: try parseBlock("endset"))
    }

    private mutating func parseWith() throws -> Statement.Kind {
        var assignments: [(target: Target, value: Expression)] = []
        while current.kind != .blockEnd {
            if !assignments.isEmpty { try expect(symbol: ",") }
            let target = Target.name(index(of: try expectName()))
            try expect(symbol: "=")
            assignments.append((target, try parseExpression()))
        }
        return .with(assignments, body: try parseBlock("endwith"))
    }

    private mutating func parseMacro() throws -> Statement.Kind {
        let name = try expectName()
        return .macro(try parseMacroRest(name: name, parameters: try parseParameters(), end: "endmacro"))
    }

    private mutating func parseCallBlock(_ line: Int) throws -> Statement.Kind {
        let parameters = isSymbol("(") ? try parseParameters() : []
        let call = try parseExpression()
        guard case .call = call else { throw fault("'{% call %}' needs a call such as 'macro(…)'", line: line) }
        return .callBlock(call, caller: try parseMacroRest(name: "caller", parameters: parameters, end: "endcall"))
    }

    private typealias Parameter = (name: NameIndex, text: String, defaultValue: Expression?)

    private mutating func parseMacroRest(name: String, parameters: [Parameter], end: String) throws -> MacroDefinition {
        let (body, mentioned) = try parseMentioning { try $0.parseBlock(end) }
        return MacroDefinition(
            name: name, nameIndex: index(of: name), parameters: parameters, body: body, mentions: mentioned)
    }

    private mutating func parseParameters() throws -> [Parameter] {
        var parameters: [Parameter] = []
        try expect(symbol: "(")
        while !isSymbol(")") {
            if !parameters.isEmpty { try expect(symbol: ",") }
            let text = try expectName()
            let defaultValue = skip(symbol: "=") ? try parseExpression() : nil
            if defaultValue == nil, parameters.last?.defaultValue != nil {
                throw fault("the parameter '\(text)' without a default follows one with a default")
            }
            parameters.append((index(of: text), text, defaultValue))
        }
        advance()
        return parameters
    }

    /// What stands left of `=` in a `set`, or left of `in` in a `for`.
    private mutating func parseTarget(isLoop: Bool = false) throws -> Target {
        var targets: [Target] = []
        var isTuple = false
        while true {
            if skip(symbol: "(") {
                targets.append(try nested { try $0.parseTarget(isLoop: isLoop) })
                try expect(symbol: ")")
            } else {
                targets.append(try parseTargetName(isLoop: isLoop))
            }
            guard skip(symbol: ",") else { break }
            isTuple = true
            if isName("in") || isSymbol("=") || isSymbol(")") { break }
        }
        return isTuple ? .tuple(targets) : targets[0]
    }

    private mutating func parseTargetName(isLoop: Bool) throws -> Target {
        let name = try expectName()
        guard !["true", "false", "none", "True", "False", "None"].contains(name), !(isLoop && name == "loop") else {
            throw fault("can't assign to '\(name)'")
        }
        guard !isLoop, skip(symbol: ".") else { return .name(index(of: name)) }
        let attribute = try expectName()
        guard !attribute.hasPrefix("_") else {
            throw fault("a namespace cannot hold '\(attribute)': names starting with an underscore are reserved")
        }
        return .attribute(index(of: name), attribute)
    }
}
