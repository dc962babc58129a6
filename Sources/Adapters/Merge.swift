import Files
import Layers
import Tensors

/// Folds adapters into the weights of the layers they are on, in the order given, and takes them off.
///
/// Merged weights are f32. A head that shares the embedding's weight gets one of its own first: the adapter is the head's alone, and an
/// embedding that changed with it would be another model.
///
/// - Returns: the paths of the layers whose weights changed.
/// - Throws: `InputError` where the model has no adapter of a name, or it is on something else than linear layers; nothing is changed
///   then.
@discardableResult
public func mergeAdapters(named names: [String], in model: any Module) throws -> [String] {
    let modules = AdaptableModules(model)
    let layers = modules.linears
    for name in names {
        let adapted = modules.adaptable.filter { $0.module.adapterModule(name) != nil }
        guard !adapted.isEmpty else { throw InputError("the model has no adapter named \"\(name)\"") }
        if let other = adapted.first(where: { !($0.module is Linear) }) {
            throw InputError("the adapter \"\(name)\" changes \(other.path) and not weights: it cannot be merged")
        }
    }
    let shared = sharedParameters(of: model)
    return layers.compactMap { path, layer in
        let adapters = names.compactMap(layer.adapter)
        guard !adapters.isEmpty else { return nil }
        if shared.contains(ObjectIdentifier(layer.weight)) { layer.untie() }
        layer.weight.isTrainable = false
        layer.weight.value = adapters.reduce(layer.weight.value) { $1.merged(into: $0) }
        if let bias = layer.bias { bias.value = adapters.reduce(bias.value) { $1.merged(intoBias: $0) } }
        names.forEach(layer.detach)
        return path
    }
}

/// The parameters that two modules hold.
private func sharedParameters(of model: any Module) -> Set<ObjectIdentifier> {
    let all = model.modules().flatMap { $0.module.ownParameters.map { ObjectIdentifier($0.parameter) } }
    var seen: Set<ObjectIdentifier> = []
    return Set(all.filter { !seen.insert($0).inserted })
}
