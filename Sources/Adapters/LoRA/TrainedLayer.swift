import Files
import Layers
import Tensors

/// A module trained in full beside an adapter, as a copy that stands in for it while the adapter is active: `modules_to_save`, and the
/// biases of `bias: all`.
public final class TrainedLayer: LinearAdapter, EmbeddingAdapter, NormAdapter {
    /// The weight; nil where the bias alone is trained.
    public let ownWeight: Parameter?
    /// The bias; nil where there is none.
    public let ownBias: Parameter?

    init(weight: Parameter?, bias: Parameter?) {
        ownWeight = weight
        ownBias = bias
    }

    /// Weight and bias.
    public var ownParameters: [(name: String, parameter: Parameter)] {
        [("weight", ownWeight), ("bias", ownBias)].compactMap { name, parameter in parameter.map { (name, $0) } }
    }

    /// Nothing beyond what stands in.
    public func updates(_ context: ForwardContext) -> [LinearUpdate] { [] }
    /// The rows as they are.
    public func adapted(_ rows: Tensor, of tokens: [Int32], _ context: ForwardContext) -> Tensor { rows }
    /// The weight as it is.
    public func merged(into weight: Tensor) -> Tensor { weight }
}

/// The same on a head that shares its weight with an embedding, which is trained for both.
final class TiedTrainedHead: LinearAdapter, FollowsEmbedding {
    private let weight: Parameter

    init(_ weight: Parameter) { self.weight = weight }

    var ownWeight: Parameter? { weight }
    var savedTensors: [(name: String, value: Tensor)] { [("weight", weight.value)] }
    func updates(_ context: ForwardContext) -> [LinearUpdate] { [] }
    func merged(into weight: Tensor) -> Tensor { weight }
}

extension AdapterPlan {
    /// That of a module trained in full.
    init(inFull module: AdaptableModules.Weighted) {
        let (path, weight, bias) = module
        var shapes: [(name: String, shape: [Int])] = [("weight", weight.value.shape)]
        if let bias { shapes.append(("bias", bias.value.shape)) }
        self.init(path: path, shapes: shapes) { _ in
            TrainedLayer(weight: weight.trainableCopy, bias: bias?.trainableCopy)
        }
    }
}

extension AdaptableModules {
    /// Modules with weights, by path.
    typealias Weighted = (path: String, weight: Parameter, bias: Parameter?)

    /// What PEFT's `modules_to_save` means: modules whose path ends in one of the names, and all that is in them.
    ///
    /// - Throws: `InputError` where a name of a new adapter fits nothing.
    func trainedInFull(_ names: [String], strict: Bool) throws -> [Weighted] {
        for name in names where strict && !paths.contains(where: { $0.hasSuffix(name) }) {
            let known = Array(Set(paths.compactMap { $0.split(separator: ".").last.map(String.init) })).sorted()
            throw InputError(
                "`modules_to_save`: no module is named \(name)",
                hint: nearestName(to: name, among: known).map { "Did you mean \($0)?" })
        }
        let roots = paths.filter { path in names.contains { path.hasSuffix($0) } }
        return adaptable.compactMap { path, module in
            guard roots.contains(where: { path == $0 || path.hasPrefix($0 + ".") }) else { return nil }
            return switch module {
            case let layer as Linear: (path, layer.weight, layer.bias)
            case let table as Embedding: (path, table.weight, nil)
            case let norm as RMSNorm: (path, norm.weight, nil)
            default: nil
            }
        }
    }

    /// An embedding and the head that shares its weight.
    var tie: (embedding: String, head: String)? {
        for case (let path, let table as Embedding) in adaptable {
            if let head = linears.first(where: { $0.layer.weight === table.weight }) { return (path, head.path) }
        }
        return nil
    }

    /// The tables of tokens.
    var embeddings: [(path: String, table: Embedding)] {
        adaptable.compactMap { path, module in (module as? Embedding).map { (path, $0) } }
    }
}

extension Parameter {
    /// A copy that can be trained, whatever this one is stored as.
    var trainableCopy: Parameter { Parameter(value.dtype == .f32 ? value.copied() : value.converted(to: .f32)) }
}
