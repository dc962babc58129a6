import Files
import Layers
import Tensors

/// Puts a new adapter on a model and makes it the one thing that trains: the model itself is frozen.
///
/// - Parameters:
///   - configuration: the method and its settings. A name or pattern in it that fits no module is an error.
///   - model: what is adapted.
///   - name: the adapter's name, by which a context makes it active.
///   - seed: what the initial values derive from, each module's from its own path.
/// - Returns: the paths of the adapted modules.
/// - Throws: `InputError` naming the key at fault.
@discardableResult
public func attach(
    _ configuration: any AdapterConfiguration, to model: any Module, name: String = "default", seed: UInt64
) throws -> [String] {
    try configuration.validate()
    let modules = AdaptableModules(model)
    let plans = try configuration.plan(for: modules, strict: true)
    model.setTrainable(false)
    attach(plans, to: modules, name: name, isTrainable: true) { plan in
        let adapter = plan.make(seed)
        let tensors = adapter.savedTensors
        precondition(
            tensors.map(\.name) == plan.shapes.map(\.name) && tensors.map(\.value.shape) == plan.shapes.map(\.shape),
            "\(plan.path): the adapter's tensors are not those of its plan")
        return adapter
    }
    return plans.map(\.path)
}

/// Puts a saved adapter on a model, all of its tensors or none.
///
/// - Parameters:
///   - folder: where it lies.
///   - model: what is adapted; it is frozen.
///   - name: the adapter's name, by which a context makes it active.
///   - isTrainable: whether training goes on with it.
///   - baseHash: the model's content hash, if known: names the likely reason where the tensors do not fit.
/// - Returns: the paths of the adapted modules.
/// - Throws: `InputError` listing tensors that are missing, not part of the adapter, or of another shape. The model is then as before.
@discardableResult
public func attach(
    _ folder: AdapterFolder, to model: any Module, name: String = "default", isTrainable: Bool, baseHash: String? = nil
) throws -> [String] {
    let modules = AdaptableModules(model)
    let file = folder.path + "/" + AdapterFolder.configurationName
    let plans: [AdapterPlan]
    do {
        plans = try folder.configuration.plan(for: modules, strict: false)
    } catch let fault as InputError { throw fault.inFile(file) }
    try TensorAccount(folder, plans).check(baseHash: baseHash)
    let values = try plans.map { plan in
        try plan.tensors.map { key, shape in
            try Tensor(shape: shape) { try folder.weights.readFloats(key, into: $0) }
        }
    }
    let bases = try plans.map { try folder.ownBase(of: $0) }
    model.setTrainable(false)
    var remaining = zip(values, bases).map { $0 }[...]
    attach(plans, to: modules, name: name, isTrainable: isTrainable) { plan in
        let adapter = plan.make(0)
        let (values, base) = remaining.removeFirst()
        for (own, value) in zip(adapter.parameters(), values) { own.parameter.value = value }
        if let base { (adapter as? any KeepsBaseWeight)?.ownWeight = Parameter(base) }
        return adapter
    }
    return plans.map(\.path)
}

private func attach(
    _ plans: [AdapterPlan], to modules: AdaptableModules, name: String, isTrainable: Bool,
    _ make: (AdapterPlan) -> any Adapter
) {
    let targets = Dictionary(modules.adaptable.map { ($0.path, $0.module) }, uniquingKeysWith: { first, _ in first })
    for plan in plans {
        let adapter = make(plan)
        adapter.setTrainable(isTrainable)
        guard let target = targets[plan.path] else { preconditionFailure("nothing to adapt at \(plan.path)") }
        target.attach(adapter, name: name)
    }
}

/// Takes an adapter off a model.
public func detachAdapter(named name: String, from model: any Module) {
    for (_, module) in AdaptableModules(model).adaptable { module.detach(name) }
}

extension AdapterFolder {
    /// The weight that stands in for that of a module; nil where the file has none, or the model's.
    fileprivate func ownBase(of plan: AdapterPlan) throws -> Tensor? {
        guard let (key, shape) = plan.baseTensor, weights.entries[key] != nil, let base = plan.base else { return nil }
        let value = try Tensor(shape: shape) { try weights.readFloats(key, into: $0) }
        return value.values == base.value.values ? nil : value
    }
}

/// What a saved adapter has and what its settings ask for, tensor by tensor.
private struct TensorAccount {
    private let folder: AdapterFolder
    private let missing: [String]
    private let unexpected: [String]
    private let misshapen: [String]
    private let expectedCount: Int

    init(_ folder: AdapterFolder, _ plans: [AdapterPlan]) {
        self.folder = folder
        let expected = plans.flatMap(\.tensors)
        let entries = folder.weights.entries
        let possible = plans.compactMap(\.baseTensor)
        let names = Set((expected + possible).map(\.key))
        expectedCount = expected.count
        missing = expected.map(\.key).filter { entries[$0] == nil }
        unexpected = folder.weights.names.filter { !names.contains($0) }
        misshapen = (expected + possible).compactMap { name, shape in
            guard let entry = entries[name], entry.shape != shape else { return nil }
            return "\(name) is \(entry.shape), not \(shape)"
        }
    }

    func check(baseHash: String?) throws {
        guard !missing.isEmpty || !unexpected.isEmpty || !misshapen.isEmpty else { return }
        let faults = [("missing", missing), ("not part of it", unexpected), ("of another shape", misshapen)]
        let listed = faults.filter { !$0.1.isEmpty }.map { "\($0.1.count) \($0.0): \(Self.excerpt($0.1))" }
        // Where most shapes are wrong, or other layers were adapted, it is another model, not a broken file.
        let isOtherModel = 2 * misshapen.count >= expectedCount || hasOtherBase(baseHash)
        let message = isOtherModel ? "the adapter was made for another model" : "the adapter's tensors do not fit"
        throw InputError(
            message + ": " + listed.joined(separator: "; "), file: folder.weights.path,
            hint: isOtherModel ? origin(baseHash) : nil)
    }

    private func hasOtherBase(_ baseHash: String?) -> Bool {
        guard let baseHash, let recorded = folder.metadata[AdapterRecord.baseHash] else { return false }
        return baseHash != recorded
    }

    private func origin(_ baseHash: String?) -> String? {
        let named = folder.baseModel.map { "Its configuration names \"\($0)\"" }
        let hashed = hasOtherBase(baseHash) ? "the base it was trained on has another content hash" : nil
        let parts = [named, hashed].compactMap { $0 }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }

    private static func excerpt(_ names: [String]) -> String {
        names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", …" : "")
    }
}
