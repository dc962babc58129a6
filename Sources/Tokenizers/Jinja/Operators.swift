import Files
import Glibc

/// Python's operators.
enum Operators {
    /// `a op b`.
    static func apply(_ operation: BinaryOperator, _ a: Value, _ b: Value, _ interpreter: Interpreter) throws -> Value {
        if a.isUndefined { throw a.fault("") }
        if b.isUndefined { throw b.fault("") }
        if let x = a.integer, let y = b.integer { return try integers(operation, x, y) }
        if let x = a.number, let y = b.number { return try floats(operation, x, y) }
        switch operation {
        case .add:
            if let sum = try add(a, b, interpreter.budget) { return sum }
        case .multiply:
            if let count = b.integer, let product = try repeated(a, count, interpreter.budget) { return product }
            if let count = a.integer, let product = try repeated(b, count, interpreter.budget) { return product }
        case .remainder:
            if let text = a.string { return .string(try PercentFormat.format(text, b, interpreter)) }
        default: break
        }
        throw InputError("'\(operation.rawValue)' cannot be applied to \(a.typeName) and \(b.typeName)")
    }

    private static func add(_ a: Value, _ b: Value, _ budget: Budget) throws -> Value? {
        switch (a, b) {
        case (.string(let x), .string(let y)):
            try budget.allocate(x.utf8.count + y.utf8.count)
            return .string(x + y)
        case (.markup(let x), .markup(let y)):
            try budget.allocate(x.utf8.count + y.utf8.count)
            return .markup(x + y)
        case (.markup(let x), .string(let y)): return .markup(x + (try Escaping.escape(y, budget)))
        case (.string(let x), .markup(let y)): return .markup((try Escaping.escape(x, budget)) + y)
        case (.list(let x), .list(let y)):
            try budget.spend(x.items.count + y.items.count)
            return try .makeList(x.items + y.items)
        case (.tuple(let x), .tuple(let y)):
            try budget.spend(x.items.count + y.items.count)
            return try .makeTuple(x.items + y.items)
        default: return nil
        }
    }

    /// A string, list or tuple `count` times.
    private static func repeated(_ value: Value, _ count: Int, _ budget: Budget) throws -> Value? {
        let count = max(0, count)
        switch value {
        case .string(let text), .markup(let text):
            try budget.allocate(text.utf8.count, times: count)
            return .string(String(repeating: text, count: text.isEmpty ? 0 : count))
        case .list(let list), .tuple(let list):
            let (size, overflow) = list.items.count.multipliedReportingOverflow(by: count)
            try budget.spend(overflow ? Budget.steps + 1 : size)
            let items = Array(repeatElement(list.items, count: list.items.isEmpty ? 0 : count).joined())
            if case .tuple = value { return try .makeTuple(items) }
            return try .makeList(items)
        default: return nil
        }
    }

    // MARK: Numbers

    private static func integers(_ operation: BinaryOperator, _ x: Int, _ y: Int) throws -> Value {
        let result: (partialValue: Int, overflow: Bool)
        switch operation {
        case .add: result = x.addingReportingOverflow(y)
        case .subtract: result = x.subtractingReportingOverflow(y)
        case .multiply: result = x.multipliedReportingOverflow(by: y)
        case .divide: return try floats(.divide, Double(x), Double(y))
        case .floorDivide:
            guard y != 0 else { throw InputError("division by zero") }
            result = x.dividedReportingOverflow(by: y)
            if !result.overflow && x % y != 0 && (x < 0) != (y < 0) { return .int(result.partialValue - 1) }
        case .remainder:
            guard y != 0 else { throw InputError("division by zero") }
            guard y != -1 else { return .int(0) }
            let remainder = x % y
            return .int(remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder)
        case .power:
            guard y >= 0 else { return try floats(.power, Double(x), Double(y)) }
            result = power(x, y)
        }
        guard !result.overflow else { throw InputError("the result of '\(operation.rawValue)' does not fit 64 bits") }
        return .int(result.partialValue)
    }

    /// x to the power y ≥ 0 by squaring.
    private static func power(_ x: Int, _ y: Int) -> (partialValue: Int, overflow: Bool) {
        var (base, exponent, result) = (x, y, 1)
        while exponent > 0 {
            if exponent & 1 == 1 {
                let product = result.multipliedReportingOverflow(by: base)
                if product.overflow { return (0, true) }
                result = product.partialValue
            }
            exponent >>= 1
            if exponent > 0 {
                let square = base.multipliedReportingOverflow(by: base)
                if square.overflow { return (0, true) }
                base = square.partialValue
            }
        }
        return (result, false)
    }

    private static func floats(_ operation: BinaryOperator, _ x: Double, _ y: Double) throws -> Value {
        switch operation {
        case .add: return .float(x + y)
        case .subtract: return .float(x - y)
        case .multiply: return .float(x * y)
        case .divide, .floorDivide, .remainder:
            guard y != 0 else { throw InputError("division by zero") }
            if operation == .divide { return .float(x / y) }
            var remainder = fmod(x, y)
            if remainder != 0 && (remainder < 0) != (y < 0) { remainder += y }
            if operation == .remainder { return .float(remainder == 0 ? copysign(0, y) : remainder) }
            return .float(((x - remainder) / y).rounded())
        case .power:
            let result = pow(x, y)
            guard !result.isNaN || x.isNaN || y.isNaN, !(x == 0 && y < 0) else {
                throw InputError("\(Value.floatText(x)) to the power \(Value.floatText(y)) is not a number")
            }
            guard result.isFinite || !x.isFinite || !y.isFinite else {
                throw InputError("the result of '**' is too large")
            }
            return .float(result)
        }
    }

    /// `-value`.
    static func negate(_ value: Value) throws -> Value {
        if case .float(let number) = value { return .float(-number) }
        guard let number = value.integer else { throw value.fault("'-' cannot be applied to \(value.typeName)") }
        let (result, overflow) = (0).subtractingReportingOverflow(number)
        guard !overflow else { throw InputError("the result of '-' does not fit 64 bits") }
        return .int(result)
    }

    // MARK: Comparisons

    /// `a op b`.
    static func compare(_ operation: Comparison, _ a: Value, _ b: Value, _ interpreter: Interpreter) throws -> Bool {
        let budget = interpreter.budget
        switch operation {
        case .isIn: return try contains(b, a, interpreter)
        case .isNotIn: return try !contains(b, a, interpreter)
        default: try budget.spend(min(a.weight, b.weight))
        }
        switch operation {
        case .equal: return a == b
        case .notEqual: return a != b
        case .less: return try Value.isLess(a, b)
        case .greater: return try Value.isLess(b, a)
        // Not the opposite of `>`: nothing compares with a float that is not a number.
        case .lessOrEqual: return try Value.isLess(a, b) || a == b
        default: return try Value.isLess(b, a) || a == b
        }
    }

    /// `needle in container`.
    static func contains(_ container: Value, _ needle: Value, _ interpreter: Interpreter) throws -> Bool {
        let budget = interpreter.budget
        switch container {
        case .string(let text), .markup(let text):
            guard let part = needle.string else {
                throw InputError("'in' a string needs a string on its left, not \(needle.typeName)")
            }
            try budget.spend(bytes: text.utf8.count)
            return PythonText.contains(text, part)
        case .dict(let dict): return dict.members[try interpreter.hashable(needle)] != nil
        case .list(let list), .tuple(let list):
            try budget.spend(min(list.weight, list.items.count * needle.weight))
            return list.items.contains(needle)
        default:
            let items = try interpreter.items(of: container)
            try budget.spend(items.count * needle.weight)
            return items.contains(needle)
        }
    }
}

/// HTML escaping, as `escape` and the sum of a marked and a plain string do it.
enum Escaping {
    static func escape(_ text: String, _ budget: Budget) throws -> String {
        try budget.allocate(text.utf8.count, times: 5)
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "'": out += "&#39;"
            case "\"": out += "&#34;"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }
}
