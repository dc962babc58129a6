import Files

/// Runs one template once.
///
/// While it runs, it notes for which message each stretch of text is written: a loop iteration belongs to message i when the loop's
/// variable *is* message i, however it came there (slices, filters, namespaces), or when the variable is a number and the body looks
/// a message up by it. The innermost such iteration counts.
final class Interpreter {
    let budget = Budget()
    let date: LocalTime
    private let syntax: Syntax
    /// Variables at the template's top level: the caller's, the global functions, and what the template sets there.
    private var root: [Value?]
    private(set) var scope: Scope?
    private var output = Output()
    /// The statement, call or filter being run, for errors.
    private(set) var line = 1
    /// The message that the innermost iteration belongs to.
    private var message: Int?
    /// The variable of the innermost loop whose variable is a number.
    private var counter: NameIndex?
    private var captured: [Output.Captured] = []
    /// What may refer to itself, to be emptied at the end.
    private var namespaces: [Namespace] = []
    private var capturedScopes: [Scope] = []

    init(_ syntax: Syntax, variables: [String: Value], date: LocalTime) {
        self.syntax = syntax
        self.date = date
        root = syntax.names.map { variables[$0] ?? Globals.value(named: $0) }
    }

    /// Runs the template; errors get the line where they arose.
    func run() throws -> Output {
        defer { releaseCycles() }
        do {
            if try run(syntax.body) != .normal { throw InputError("'break' or 'continue' outside a loop") }
            return output
        } catch var error as InputError {
            error.place = error.place ?? "line \(line)"
            throw error
        }
    }

    private func releaseCycles() {
        for namespace in namespaces { namespace.members = [:] }
        for scope in capturedScopes { scope.clear() }
        root = []
    }

    // MARK: Variables

    /// The value of a name here.
    func value(of name: NameIndex) -> Value {
        var candidate = scope
        while let scope = candidate {
            if let value = scope[name] { return value }
            candidate = scope.parent
        }
        return root[Int(name)] ?? .undefined(syntax.names[Int(name)])
    }

    private func set(_ name: NameIndex, _ value: Value) {
        if let scope { scope.set(name, value) } else { root[Int(name)] = value }
    }

    private func assign(_ target: Target, _ value: Value) throws {
        switch target {
        case .name(let name): set(name, value)
        case .attribute(let name, let attribute):
            guard case .object(let object) = self.value(of: name), let namespace = object as? Namespace else {
                throw InputError(
                    "'\(syntax.names[Int(name)])' is no namespace: only a namespace's attributes can be set",
                    hint: "Make it with namespace(…)")
            }
            namespace.members[attribute] = value
        case .tuple(let targets):
            let values = try items(of: value)
            guard values.count == targets.count else {
                throw InputError("\(values.count) values cannot be assigned to \(targets.count) names")
            }
            for (target, value) in zip(targets, values) { try assign(target, value) }
        }
    }

    /// A name as written.
    func text(of name: NameIndex) -> String { syntax.names[Int(name)] }

    /// Remembers the line of the call or filter being evaluated.
    func note(line: Int) { self.line = line }

    /// A new namespace, emptied when the template ends.
    func makeNamespace() throws -> Namespace {
        try budget.spend(32)
        let namespace = Namespace()
        namespaces.append(namespace)
        return namespace
    }

    private func withScope<Result>(_ inner: Scope, _ run: () throws -> Result) rethrows -> Result {
        let outer = scope
        scope = inner
        defer { scope = outer }
        return try run()
    }

    // MARK: Statements

    enum Flow {
        case normal, breakLoop, continueLoop
    }

    func run(_ body: [Statement]) throws -> Flow {
        try budget.deeper {
            for statement in body {
                line = statement.line
                try budget.spend(1)
                let flow = try run(statement.kind)
                if flow != .normal { return flow }
            }
            return .normal
        }
    }

    private func run(_ statement: Statement.Kind) throws -> Flow {
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(try evaluate(expression).text(budget))
        case .loop(let loop): try run(loop)
        case .branch(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition).isTrue { return try run(branch.body) }
            return try run(otherwise)
        case .set(let target, let expression): try assign(target, try evaluate(expression))
        case .setBlock(let target, let filter, let body):
            try assign(target, try applying(filter, to: try capture { try self.runInner(body) }))
        case .filterBlock(let filter, let body):
            try write(try applying(filter, to: try capture { try self.runInner(body) }).text(budget))
        case .macro(let definition): set(definition.nameIndex, .object(makeMacro(definition)))
        case .callBlock(let call, let caller):
            try write(try evaluateCall(call, caller: .object(makeMacro(caller))).text(budget))
        case .with(let assignments, let body):
            let inner = Scope(parent: scope)
            for (target, value) in assignments {
                let value = try evaluate(value)
                try withScope(inner) { try assign(target, value) }
            }
            return try withScope(inner) { try run(body) }
        case .generation(let body):
            let start = output.bytes.count
            _ = try runInner(body)
            output.markGeneration(start..<output.bytes.count)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .normal
    }

    private func runInner(_ body: [Statement]) throws -> Flow {
        try withScope(Scope(parent: scope)) { try run(body) }
    }

    // MARK: Output

    private func write(_ text: String) throws {
        let count = text.utf8.count
        try budget.spend(bytes: count)
        try budget.check(bytes: output.bytes.count + count)
        if !captured.isEmpty, let index = captured.lastIndex(where: { $0.holds(text) }) {
            output.append(text, from: captured.remove(at: index), message: message)
        } else {
            output.append(text, message: message)
        }
    }

    /// What a body writes, as a string.
    private func capture(_ run: () throws -> Flow) throws -> Value {
        let outer = output
        output = Output()
        defer { output = outer }
        _ = try run()
        if !output.generations.isEmpty || output.spans.contains(where: { $0.message != message }) {
            if captured.count >= 8 { captured.removeFirst() }
            captured.append(Output.Captured(output))
        }
        try budget.spend(bytes: output.bytes.count)
        return .string(output.text)
    }

    // MARK: Loops

    private func run(_ loop: Statement.Loop) throws {
        let items = try items(of: try evaluate(loop.iterable))
        let state = LoopState(items, passes: try filter(of: loop))
        let (outerMessage, outerCounter) = (message, counter)
        defer { (message, counter) = (outerMessage, outerCounter) }
        var inner = Scope(parent: scope)
        var isEmpty = true
        while let item = try state.next() {
            isEmpty = false
            if inner.isCaptured { inner = Scope(parent: scope) } else { inner.clear() }
            if loop.usesLoop, let name = syntax.loopName { inner.set(name, .object(state)) }
            (message, counter) = (outerMessage, outerCounter)
            let flow = try withScope(inner) {
                try assign(loop.target, item)
                beginIteration(loop.target, item)
                return try run(loop.body)
            }
            if flow == .breakLoop { break }
        }
        (message, counter) = (outerMessage, outerCounter)
        if isEmpty { _ = try runInner(loop.otherwise) }
    }

    /// The loop's `if`, run with the item as the loop's variable in a scope of its own.
    private func filter(of loop: Statement.Loop) throws -> ((Value) throws -> Bool)? {
        guard let condition = loop.filter else { return nil }
        let outer = scope
        return { [self] item in
            try withScope(Scope(parent: outer)) {
                try assign(loop.target, item)
                return try evaluate(condition).isTrue
            }
        }
    }

    /// Finds out which message the iteration that starts belongs to.
    private func beginIteration(_ target: Target, _ item: Value) {
        switch (target, item) {
        case (.name(let name), .int): counter = name
        case (.tuple, .tuple(let items)), (.tuple, .list(let items)):
            if let found = items.items.lazy.compactMap(\.message).first { message = found }
        default: if let found = item.message { message = found }
        }
    }

    /// Notes that an item was looked up by a variable: in a loop over numbers this tells which message the iteration is about.
    func noteLookup(by index: Expression, gives value: Value) {
        guard let counter, case .name(let name) = index, name == counter, let found = value.message else { return }
        message = found
    }

    /// The message that a dictionary made here stands for, if it looks like a message: templates rewrite messages that way.
    var messageBeingRewritten: Int? { message }

    // MARK: Macros

    private func makeMacro(_ definition: MacroDefinition) -> Macro {
        if let scope, !scope.isCaptured {
            scope.isCaptured = true
            capturedScopes.append(scope)
        }
        return Macro(definition, scope: scope)
    }

    /// Calls a macro; parameters that get no argument and have no default are undefined.
    func call(_ macro: Macro, _ arguments: Arguments) throws -> Value {
        let definition = macro.definition
        let inner = Scope(parent: macro.scope)
        let parameters = definition.parameters
        guard arguments.positional.count <= parameters.count || definition.usesVarargs else {
            throw InputError("the macro '\(definition.name)' takes at most \(parameters.count) arguments")
        }
        var named = arguments.keyword
        return try withScope(inner) {
            if let name = syntax.varargsName, definition.usesVarargs {
                inner.set(name, try .makeTuple(Array(arguments.positional.dropFirst(parameters.count))))
            }
            for (index, parameter) in parameters.enumerated() {
                if index < arguments.positional.count {
                    inner.set(parameter.name, arguments.positional[index])
                } else if let given = named.firstIndex(where: { $0.name == parameter.text }) {
                    inner.set(parameter.name, named.remove(at: given).value)
                } else if let standard = parameter.defaultValue {
                    inner.set(parameter.name, try evaluate(standard))
                } else {
                    inner.set(parameter.name, .undefined(parameter.text))
                }
            }
            if let name = syntax.callerName, definition.usesCaller {
                let given = named.firstIndex { $0.name == "caller" }
                inner.set(name, given.map { named.remove(at: $0).value } ?? .undefined("caller"))
            }
            try bindSurplus(named, of: definition, in: inner)
            return try capture { try self.run(definition.body) }
        }
    }

    private func bindSurplus(
        _ named: [(name: String, value: Value)], of macro: MacroDefinition, in inner: Scope
    ) throws {
        if let name = syntax.kwargsName, macro.usesKwargs {
            inner.set(
                name, try .makeDict(.init(named.map { (.string($0.name), $0.value) }, uniquingKeysWith: { $1 })))
        } else if let surplus = named.first {
            let nearest = nearestName(to: surplus.name, among: macro.parameters.map(\.text))
            throw InputError(
                "the macro '\(macro.name)' has no argument '\(surplus.name)'",
                hint: nearest.map { "Did you mean '\($0)'?" })
        }
    }
}
