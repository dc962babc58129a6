import Files

extension Parser {
    // MARK: Entry points

    /// One expression, a conditional included.
    mutating func parseExpression() throws -> Expression {
        try nested { try $0.parseConditional() }
    }

    /// An expression, or several separated by commas, which make a tuple.
    mutating func parseTuple(
        withConditional: Bool = true, stopsAt stop: String? = nil, inParentheses: Bool = false
    ) throws -> Expression {
        if !inParentheses { expressionNodes = 0 }
        var items: [Expression] = []
        var isTuple = false
        while !isTupleEnd(stop) {
            items.append(try withConditional ? parseExpression() : nested { try $0.parseOr() })
            guard skip(symbol: ",") else { break }
            isTuple = true
        }
        if !isTuple, let only = items.first { return only }
        guard isTuple || inParentheses else { throw fault("expected an expression, found \(current.description)") }
        return .tuple(items)
    }

    private func isTupleEnd(_ stop: String?) -> Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .symbol(")"): true
        case .name(let name): name == stop
        default: false
        }
    }

    /// Counts a node, within the bound on an expression's size.
    private mutating func made(_ expression: Expression) throws -> Expression {
        expressionNodes += 1
        guard expressionNodes <= Self.largestExpression else {
            throw fault("an expression has more than \(Self.largestExpression) parts")
        }
        return expression
    }

    // MARK: By precedence, loosest first

    private mutating func parseConditional() throws -> Expression {
        var value = try parseOr()
        while skip(name: "if") {
            let condition = try parseOr()
            let otherwise = skip(name: "else") ? try nested { try $0.parseConditional() } : nil
            value = try made(.conditional(condition: condition, then: value, otherwise: otherwise))
        }
        return value
    }

    private mutating func parseOr() throws -> Expression {
        var left = try parseAnd()
        while skip(name: "or") { left = try made(.or(left, try parseAnd())) }
        return left
    }

    private mutating func parseAnd() throws -> Expression {
        var left = try parseNot()
        while skip(name: "and") { left = try made(.and(left, try parseNot())) }
        return left
    }

    private mutating func parseNot() throws -> Expression {
        guard skip(name: "not") else { return try parseComparison() }
        return try made(.not(try nested { try $0.parseNot() }))
    }

    private mutating func parseComparison() throws -> Expression {
        let first = try parseSum()
        var rest: [(operation: Comparison, operand: Expression)] = []
        while let operation = comparison() { rest.append((operation, try parseSum())) }
        return rest.isEmpty ? first : try made(.compare(first, rest))
    }

    /// Takes a comparison operator, if one stands here.
    private mutating func comparison() -> Comparison? {
        switch current.kind {
        case .symbol(let symbol):
            guard let operation = Comparison(rawValue: symbol) else { return nil }
            advance()
            return operation
        case .name("in"):
            advance()
            return .isIn
        case .name("not") where following.kind == .name("in"):
            advance()
            advance()
            return .isNotIn
        default: return nil
        }
    }

    private mutating func parseSum() throws -> Expression {
        var left = try parseConcatenation()
        while let operation = binaryOperator(["+", "-"]) {
            left = try made(.binary(operation, left, try parseConcatenation()))
        }
        return left
    }

    private mutating func parseConcatenation() throws -> Expression {
        var parts = [try parseProduct()]
        while skip(symbol: "~") { parts.append(try parseProduct()) }
        return parts.count == 1 ? parts[0] : try made(.concatenate(parts))
    }

    private mutating func parseProduct() throws -> Expression {
        var left = try parsePower()
        while let operation = binaryOperator(["*", "/", "//", "%"]) {
            left = try made(.binary(operation, left, try parsePower()))
        }
        return left
    }

    private mutating func parsePower() throws -> Expression {
        var left = try parseUnary()
        while skip(symbol: "**") { left = try made(.binary(.power, left, try parseUnary())) }
        return left
    }

    private mutating func binaryOperator(_ allowed: [String]) -> BinaryOperator? {
        guard case .symbol(let symbol) = current.kind, allowed.contains(symbol) else { return nil }
        advance()
        return BinaryOperator(rawValue: symbol)
    }

    private mutating func parseUnary(withFilters: Bool = true) throws -> Expression {
        var value: Expression
        if skip(symbol: "-") {
            value = try made(.negate(try nested { try $0.parseUnary(withFilters: false) }))
        } else if skip(symbol: "+") {
            value = try made(.plus(try nested { try $0.parseUnary(withFilters: false) }))
        } else {
            value = try parsePrimary()
        }
        value = try parsePostfix(value)
        return withFilters ? try parseFiltersAndTests(value) : value
    }

    // MARK: Primaries

    private mutating func parsePrimary() throws -> Expression {
        switch current.kind {
        case .name(let name):
            advance()
            return try made(constant(name) ?? .name(index(of: name)))
        case .string(var text):
            advance()
            while case .string(let more) = current.kind {
                text += more
                advance()
            }
            return try made(.literal(.string(text)))
        case .integer(let value):
            advance()
            return try made(.literal(.integer(value)))
        case .float(let value):
            advance()
            return try made(.literal(.float(value)))
        case .symbol("("):
            advance()
            let inner = try nested { try $0.parseTuple(inParentheses: true) }
            try expect(symbol: ")")
            return inner
        case .symbol("["):
            advance()
            return try made(.list(try parseItems(until: "]") { try $0.parseExpression() }))
        case .symbol("{"):
            advance()
            let pairs = try parseItems(until: "}") { parser in
                let key = try parser.parseExpression()
                try parser.expect(symbol: ":")
                return (key: key, value: try parser.parseExpression())
            }
            return try made(.dictionary(pairs))
        default: throw fault("expected an expression, found \(current.description)")
        }
    }

    private func constant(_ name: String) -> Expression? {
        switch name {
        case "true", "True": .literal(.bool(true))
        case "false", "False": .literal(.bool(false))
        case "none", "None": .literal(.none)
        default: nil
        }
    }

    private mutating func parseItems<Item>(
        until close: String, _ parse: (inout Parser) throws -> Item
    ) throws -> [Item] {
        var items: [Item] = []
        while !isSymbol(close) {
            if !items.isEmpty { try expect(symbol: ",") }
            if isSymbol(close) { break }
            items.append(try parse(&self))
        }
        advance()
        return items
    }

    // MARK: Postfixes

    private mutating func parsePostfix(_ value: Expression) throws -> Expression {
        var value = value
        while case .symbol(let symbol) = current.kind {
            switch symbol {
            case ".": value = try parseAttribute(of: value)
            case "[": value = try parseItem(of: value)
            case "(": value = try parseCall(value)
            default: return value
            }
        }
        return value
    }

    private mutating func parseFiltersAndTests(_ value: Expression) throws -> Expression {
        var value = value
        while true {
            if isSymbol("|") {
                value = try parseFilterChain(value)
            } else if isName("is") {
                value = try parseTest(of: value)
            } else if isSymbol("(") {
                value = try parseCall(value)
            } else {
                return value
            }
        }
    }

    private mutating func parseAttribute(of value: Expression) throws -> Expression {
        advance()
        switch current.kind {
        case .name(let name):
            advance()
            return try made(.attribute(value, name))
        case .integer(let number):
            advance()
            return try made(.item(value, .literal(.integer(number))))
        default: throw fault("expected a name or a number after '.', found \(current.description)")
        }
    }

    private mutating func parseItem(of value: Expression) throws -> Expression {
        advance()
        var start: Expression?
        if !isSymbol(":") { start = try parseExpression() }
        guard isSymbol(":") else {
            guard let start else { throw fault("expected an index") }
            try expect(symbol: "]")
            return try made(.item(value, start))
        }
        advance()
        let stop = isSymbol(":") || isSymbol("]") ? nil : try parseExpression()
        let step = skip(symbol: ":") && !isSymbol("]") ? try parseExpression() : nil
        try expect(symbol: "]")
        return try made(.slice(value, start: start, stop: stop, step: step))
    }

    private mutating func parseCall(_ callee: Expression) throws -> Expression {
        let line = current.line
        return try made(.call(callee, try parseArguments(), line: line))
    }

    private mutating func parseArguments() throws -> ArgumentList {
        try expect(symbol: "(")
        var arguments = ArgumentList()
        var isFirst = true
        while !isSymbol(")") {
            if !isFirst { try expect(symbol: ",") }
            isFirst = false
            if isSymbol(")") { break }
            if skip(symbol: "*") {
                arguments.unpackedList = try parseExpression()
            } else if skip(symbol: "**") {
                arguments.unpackedDictionary = try parseExpression()
            } else if case .name(let name) = current.kind, following.kind == .symbol("=") {
                advance()
                advance()
                arguments.keyword.append((name, try parseExpression()))
            } else {
                guard arguments.keyword.isEmpty, arguments.unpackedDictionary == nil, arguments.unpackedList == nil
                else {
                    throw fault("an argument without a name follows one with a name")
                }
                arguments.positional.append(try parseExpression())
            }
        }
        advance()
        return arguments
    }

    // MARK: Filters and tests

    /// `|name(…)|name …`, or without the first bar at the start of a filter block.
    mutating func parseFilterChain(_ input: Expression?) throws -> Expression {
        _ = skip(symbol: "|")
        var value = input
        repeat {
            let line = current.line
            let name = try expectName()
            let arguments = isSymbol("(") ? try parseArguments() : ArgumentList()
            let function = Filters.named[name]
            if function == nil, conditionalDepth == 0 { throw Filters.unknown(name, line: line) }
            value = try made(.filter(value, FilterReference(name: name, function: function), arguments, line: line))
        } while skip(symbol: "|")
        guard let value else { throw fault("expected a filter") }
        return value
    }

    private mutating func parseTest(of value: Expression) throws -> Expression {
        let line = current.line
        advance()
        let isNegated = skip(name: "not")
        let name = try expectName()
        let arguments = try parseTestArguments()
        let function = Tests.named[name]
        if function == nil, conditionalDepth == 0 { throw Tests.unknown(name, line: line) }
        let test = try made(.test(value, TestReference(name: name, function: function), arguments, line: line))
        return isNegated ? try made(.not(test)) : test
    }

    /// Arguments in parentheses, or one primary as in `x is divisibleby 3`.
    private mutating func parseTestArguments() throws -> ArgumentList {
        switch current.kind {
        case .symbol("("): return try parseArguments()
        case .name("is"): throw fault("tests cannot be chained with 'is'")
        case .name("else"), .name("or"), .name("and"): return ArgumentList()
        case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
            return ArgumentList(positional: [try parsePostfix(try parsePrimary())])
        default: return ArgumentList()
        }
    }
}
