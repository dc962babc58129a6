import Files
import OrderedCollections

extension Interpreter {
    /// The value of an expression.
    func evaluate(_ expression: Expression) throws -> Value {
        try budget.spend(1)
        switch expression {
        case .literal(let literal): return Value(literal)
        case .name(let name): return value(of: name)
        default: return try budget.deeper { try evaluateNested(expression) }
        }
    }

    private func evaluateNested(_ expression: Expression) throws -> Value {
        switch expression {
        case .literal(let literal): return Value(literal)
        case .name(let name): return value(of: name)
        case .attribute(let receiver, let name): return try attribute(name, of: try evaluate(receiver))
        case .item(let receiver, let index): return try evaluateItem(receiver, index)
        case .call: return try evaluateCall(expression, caller: nil)
        case .filter(let input, let filter, let arguments, let line):
            return try apply(filter, to: try input.map(evaluate) ?? .undefined("input"), arguments, line)
        case .test(let input, let test, let arguments, let line):
            return .bool(try check(test, try evaluate(input), arguments, line))
        case .not(let operand): return .bool(!(try evaluate(operand).isTrue))
        case .and(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? try evaluate(right) : value
        case .or(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? value : try evaluate(right)
        case .compare(let first, let rest): return .bool(try compare(first, rest))
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(then) }
            return try otherwise.map(evaluate) ?? .undefined("the value of an 'if' without 'else'")
        default: return try evaluateOperation(expression)
        }
    }

    private func evaluateOperation(_ expression: Expression) throws -> Value {
        switch expression {
        case .binary(let operation, let left, let right):
            return try Operators.apply(operation, try evaluate(left), try evaluate(right), self)
        case .concatenate(let parts): return try concatenate(parts)
        case .negate(let operand): return try Operators.negate(try evaluate(operand))
        case .plus(let operand):
            let value = try evaluate(operand)
            guard value.number != nil else { throw value.fault("'+' cannot be applied to \(value.typeName)") }
            return value.integer.map(Value.int) ?? value
        case .list(let items): return try .makeList(try items.map(evaluate))
        case .tuple(let items): return try .makeTuple(try items.map(evaluate))
        case .dictionary(let pairs): return try evaluateDictionary(pairs)
        case .slice(let receiver, let start, let stop, let step):
            return try Slices.slice(
                try evaluate(receiver), try start.map(evaluate), try stop.map(evaluate), try step.map(evaluate), self)
        default: return try evaluateNested(expression)
        }
    }

    private func concatenate(_ parts: [Expression]) throws -> Value {
        var text = ""
        for part in parts {
            text += try evaluate(part).text(budget)
            try budget.check(bytes: text.utf8.count)
        }
        try budget.spend(bytes: text.utf8.count)
        return .string(text)
    }

    private func evaluateDictionary(_ pairs: [(key: Expression, value: Expression)]) throws -> Value {
        var members = OrderedDictionary<Value, Value>(minimumCapacity: pairs.count)
        for pair in pairs { members[try hashable(try evaluate(pair.key))] = try evaluate(pair.value) }
        return try .makeDict(members, message: members[.string("role")] == nil ? nil : messageBeingRewritten)
    }

    /// A value that is about to become a dictionary key.
    func hashable(_ value: Value) throws -> Value {
        try budget.spend(value.weight)
        guard value.isHashable else { throw InputError("a \(value.typeName) cannot be a key") }
        return value
    }

    private func compare(_ first: Expression, _ rest: [(operation: Comparison, operand: Expression)]) throws -> Bool {
        var left = try evaluate(first)
        for (operation, operand) in rest {
            let right = try evaluate(operand)
            guard try Operators.compare(operation, left, right, self) else { return false }
            left = right
        }
        return true
    }

    // MARK: Attributes and items

    /// `value.name`: a method first, then a member.
    func attribute(_ name: String, of value: Value) throws -> Value {
        switch value {
        case .undefined: throw value.fault("")
        case .object(let object): return try object.attribute(name, self) ?? .undefined(name)
        case .dict(let dict):
            if Methods.exists(name, on: value) { return .object(BoundMethod(value, name)) }
            return dict[name] ?? .undefined(name)
        default: return Methods.exists(name, on: value) ? .object(BoundMethod(value, name)) : .undefined(name)
        }
    }

    private func evaluateItem(_ receiver: Expression, _ index: Expression) throws -> Value {
        let value = try item(of: try evaluate(receiver), try evaluate(index))
        noteLookup(by: index, gives: value)
        return value
    }

    /// `value[index]`: a member first, then an attribute; what is not there is undefined.
    func item(of value: Value, _ index: Value) throws -> Value {
        switch value {
        case .undefined: throw value.fault("")
        case .dict(let dict):
            try budget.spend(index.weight)
            if let member = dict.members[index] { return member }
        case .list(let list), .tuple(let list):
            if let position = index.integer { return list.items.at(position) ?? .undefined(String(position)) }
        case .string(let text), .markup(let text):
            if let position = index.integer {
                try budget.spend(bytes: text.utf8.count)
                return Slices.character(of: text, at: position) ?? .undefined(String(position))
            }
        default: break
        }
        if let name = index.string { return try attribute(name, of: value) }
        return .undefined(try index.text(budget))
    }

    /// The items that a loop over the value meets.
    func items(of value: Value) throws -> [Value] {
        switch value {
        case .undefined: return []
        case .list(let list), .tuple(let list):
            try budget.spend(list.items.count >> 3)
            return list.items
        case .dict(let dict): return Array(dict.members.keys)
        case .string(let text), .markup(let text):
            try budget.spend(text.utf8.count)
            return text.unicodeScalars.map { .string(String(Character($0))) }
        case .object(let object):
            if let iterator = object as? Iterator { return iterator.rest() }
            throw InputError("'\(object.typeName)' cannot be iterated over")
        default: throw InputError("'\(value.typeName)' cannot be iterated over")
        }
    }

    // MARK: Calls

    /// A call; `caller` is the body of a call block.
    func evaluateCall(_ expression: Expression, caller: Value?) throws -> Value {
        guard case .call(let callee, let list, let line) = expression else { return try evaluate(expression) }
        if case .attribute(let receiver, let name) = callee {
            let value = try evaluate(receiver)
            if Methods.exists(name, on: value) {
                let arguments = try evaluate(list, caller)
                note(line: line)
                return try Methods.call(name, on: value, arguments, self) ?? .undefined(name)
            }
            return try call(try attribute(name, of: value), named: name, try evaluate(list, caller), line)
        }
        var name = "the value"
        if case .name(let index) = callee { name = text(of: index) }
        return try call(try evaluate(callee), named: name, try evaluate(list, caller), line)
    }

    private func call(_ callee: Value, named name: String, _ arguments: Arguments, _ line: Int) throws -> Value {
        note(line: line)
        guard case .object(let object) = callee, let callable = object as? CallableValue else {
            throw callee.fault("'\(name)' is \(callee.typeName), which cannot be called")
        }
        return try budget.deeper { try callable.call(arguments, self) }
    }

    private func evaluate(_ list: ArgumentList, _ caller: Value?) throws -> Arguments {
        var arguments = Arguments()
        if list.positional.isEmpty && list.keyword.isEmpty && list.unpackedList == nil
            && list.unpackedDictionary == nil && caller == nil
        {
            return arguments
        }
        arguments.positional = try list.positional.map(evaluate)
        if let values = list.unpackedList { arguments.positional += try items(of: try evaluate(values)) }
        for (name, value) in list.keyword { arguments.keyword.append((name, try evaluate(value))) }
        if let values = list.unpackedDictionary {
            let value = try evaluate(values)
            guard case .dict(let dict) = value else {
                throw value.fault("the value after '**' must be a dictionary, not \(value.typeName)")
            }
            for (key, value) in dict.members {
                guard let name = key.string else { throw InputError("the keys after '**' must be strings") }
                arguments.keyword.append((name, value))
            }
        }
        if let caller { arguments.keyword.append(("caller", caller)) }
        return arguments
    }

    // MARK: Filters and tests

    private func apply(_ filter: FilterReference, to input: Value, _ list: ArgumentList, _ line: Int) throws -> Value {
        let arguments = try evaluate(list, nil)
        note(line: line)
        guard let function = filter.function else { throw Filters.unknown(filter.name, line: line) }
        return try function(input, arguments, self)
    }

    /// A filter chain without an input of its own, applied to a value.
    func applying(_ filter: Expression?, to value: Value) throws -> Value {
        guard let filter else { return value }
        guard case .filter(let inner, let reference, let arguments, let line) = filter else { return value }
        return try apply(reference, to: try applying(inner, to: value), arguments, line)
    }

    private func check(_ test: TestReference, _ input: Value, _ list: ArgumentList, _ line: Int) throws -> Bool {
        let arguments = try evaluate(list, nil)
        guard let function = test.function else { throw Tests.unknown(test.name, line: line) }
        return try function(input, arguments, self)
    }
}

extension Array {
    /// The element at a position, counted from the end when negative, if there is one.
    func at(_ position: Int) -> Element? {
        let index = position < 0 ? position &+ count : position
        return indices.contains(index) ? self[index] : nil
    }
}
