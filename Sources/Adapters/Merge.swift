import Files
import Layers
import Tensors

/// Folds adapters into the weights of the modules they are on, in the order given, and takes them off.
///
/// Merged weights are f32. Where an embedding and a head share a weight, and an adapter changes one of them alone or the two
/// differently, the head gets a weight of its own first: one that changed for both would be another model.
///
/// - Returns: the paths of the modules whose weights changed.
/// - Throws: `InputError` where the model has no adapter of a name, or it changes something else than weights; nothing is changed then.
@discardableResult
public func mergeAdapters(named names: [String], in model: any Module) throws -> [String] {
    let modules = AdaptableModules(model)
    for name in names {
        let adapted = modules.adaptable.filter { $0.module.adapterModule(name) != nil }
        guard !adapted.isEmpty else { throw InputError("the model has no adapter named \"\(name)\"") }
        if let other = adapted.first(where: { !hasWeight($0.module) }) {
            throw InputError("the adapter \"\(name)\" changes \(other.path) and not weights: it cannot be merged")
        }
    }
    untieWhereNeeded(names, modules)
    return modules.adaptable.compactMap { path, module in
        let isAdapted = names.contains { module.adapterModule($0) != nil }
        guard isAdapted else { return nil }
        merge(names, into: module)
        names.forEach(module.detach)
        return path
    }
}

private func hasWeight(_ module: any AdaptableModule) -> Bool {
    module is Linear || module is Embedding || module is RMSNorm
}

/// Gives a head that shares the embedding's weight one of its own, unless the adapters change both alike: then the embedding's part
/// changes it, and the head's is taken off.
private func untieWhereNeeded(_ names: [String], _ modules: AdaptableModules) {
    guard let tie = modules.tie,
        let head = modules.linears.first(where: { $0.path == tie.head })?.layer,
        let table = modules.embeddings.first(where: { $0.path == tie.embedding })?.table
    else { return }
    let changes = names.filter { head.adapterModule($0) != nil || table.adapterModule($0) != nil }
    guard !changes.isEmpty else { return }
    if changes.allSatisfy({ head.adapterModule($0) is any FollowsEmbedding && table.adapterModule($0) != nil }) {
        changes.forEach(head.detach)
    } else {
        head.untie()
    }
}

private func merge(_ names: [String], into module: any AdaptableModule) {
    switch module {
    case let layer as Linear:
        let adapters = names.compactMap(layer.adapter)
        let weight = adapters.compactMap(\.ownWeight).last ?? layer.weight
        layer.weight.isTrainable = false
        layer.weight.value = adapters.reduce(weight.value) { $1.merged(into: $0) }
        guard let bias = layer.bias else { return }
        let start = adapters.compactMap(\.ownBias).last ?? bias
        bias.value = adapters.reduce(start.value) { $1.merged(intoBias: $0) }
    case let table as Embedding:
        let adapters = names.compactMap(table.adapter)
        let weight = adapters.compactMap(\.ownWeight).last ?? table.weight
        table.weight.isTrainable = false
        table.weight.value = adapters.reduce(weight.value) { $1.merged(into: $0) }
    case let norm as RMSNorm:
        if let weight = names.compactMap(norm.adapter).compactMap(\.ownWeight).last { norm.weight.value = weight.value }
    default: preconditionFailure("nothing to merge into")
    }
}
