import Files
import Layers
import Tensors

/// Saves a LoRA or DoRA adapter that is on a model as the folder that mlx-lm loads (`--adapter-path`).
///
/// mlx-lm has one rank and one scale for all layers: smaller factors are filled up with zeros, and what a layer's own scale is beyond the
/// common one is folded into its B. Each file appears whole or not at all, the configuration last.
///
/// - Parameters:
///   - configuration: the settings with which it was attached.
///   - name: the adapter's name on the model.
///   - model: the model.
///   - path: the folder, made where it is missing.
///   - baseModel: the model it belongs to, as people name it.
///   - type: how numbers are stored.
/// - Returns: the number of layers.
/// - Throws: `InputError` for a method that mlx-lm does not have; `RunError` where the folder cannot be written.
public func writeMLXAdapter(
    _ configuration: LoRAConfiguration, named name: String = "default", of model: any Module, to path: String,
    baseModel: String?, type: SafetensorsType = .f32
) throws -> Int {
    let modules = AdaptableModules(model)
    let layers = try modules.adaptable.compactMap { path, module in
        try module.adapterModule(name).map { try MLXLayer(path, $0) }
    }
    guard !layers.isEmpty else { throw InputError("the model has no adapter named \"\(name)\"") }
    let rank = layers.reduce(1) { max($0, $1.lora.a.value.rows) }
    let scale = commonest(layers.map(\.lora.scale).filter { $0 != 0 }) ?? 0
    let place = MLXPlace(layers.map(\.path), of: modules.paths)
    let settings: JSON = [
        "fine_tune_type": .string(configuration.useDoRA ? "dora" : "lora"),
        "lora_parameters": [
            "dropout": .number(configuration.loraDropout), "keys": .array(place.keys.map { .string($0) }),
            "rank": .integer(rank), "scale": .number(Double(scale)),
        ],
        "model": baseModel.map { .string($0) } ?? .null, "num_layers": .integer(place.layers),
    ]
    try FileWriting.makeFolder(path)
    try SafetensorsWriter.write(
        layers.flatMap { $0.tensors(rank: rank, scale: scale, type) }, metadata: ["format": "mlx"],
        to: path + "/" + MLXAdapter.weightsName)
    try FileWriting.replace(
        path + "/" + AdapterFolder.configurationName, with: settings.text(.indented(4, sortedKeys: true)) + "\n")
    return layers.count
}

/// The value that occurs most often, the first of several.
private func commonest(_ values: [Float]) -> Float? {
    let counts = values.reduce(into: [Float: Int]()) { $0[$1, default: 0] += 1 }
    let most = counts.values.max()
    return values.first { counts[$0] == most }
}

/// One layer's factors.
private struct MLXLayer {
    let path: String
    let lora: LoRAAdapter
    let magnitude: Tensor?

    init(_ path: String, _ adapter: any Adapter) throws {
        self.path = path
        switch adapter {
        case let adapter as LoRAAdapter where Self.isPair(adapter): (lora, magnitude) = (adapter, nil)
        case let adapter as DoRAAdapter where Self.isPair(adapter.lora):
            (lora, magnitude) = (adapter.lora, adapter.magnitude.value)
        default:
            throw InputError(
                "mlx-lm knows LoRA and DoRA of linear layers only", hint: "Merge the adapter instead: --to safetensors")
        }
    }

    /// Whether there is nothing beside A and B.
    private static func isPair(_ adapter: LoRAAdapter) -> Bool {
        adapter.start == nil && adapter.ownBias == nil && adapter.ownWeight == nil
    }

    func tensors(rank: Int, scale: Float, _ type: SafetensorsType) -> [SafetensorsTensor] {
        let (a, b) = (lora.a.value, lora.b.value)
        let (own, inputs, outputs) = (a.rows, a.columns, b.rows)
        let factor = lora.scale == scale ? 1 : lora.scale / scale
        return [
            SafetensorsTensor(path + ".lora_a", type, shape: [inputs, rank]) { sink in
                let numbers = a.values
                let turned = (0..<inputs * rank).map { $0 % rank < own ? numbers[$0 % rank * inputs + $0 / rank] : 0 }
                try turned.withUnsafeBufferPointer(sink)
            },
            SafetensorsTensor(path + ".lora_b", type, shape: [rank, outputs]) { sink in
                let numbers = b.values
                let turned = (0..<rank * outputs).map {
                    $0 / outputs < own ? numbers[$0 % outputs * own + $0 / outputs] * factor : 0
                }
                try turned.withUnsafeBufferPointer(sink)
            },
        ] + (magnitude.map { [SafetensorsTensor(path + ".m", type, shape: [outputs], $0.values)] } ?? [])
    }
}

/// Where mlx-lm looks for the modules: names within the last layers where that says it, whole paths otherwise.
private struct MLXPlace {
    let keys: [String]
    let layers: Int

    init(_ paths: [String], of all: [String]) {
        let total = Set(all.compactMap { Self.place($0)?.layer }).count
        let places = paths.compactMap(Self.place)
        let byLayer = Dictionary(grouping: places, by: \.layer).mapValues { Set($0.map(\.name)) }
        let first = total - byLayer.count
        guard let names = byLayer[total - 1], byLayer.allSatisfy({ $0.key >= first && $0.value == names }) else {
            (keys, layers) = (paths, total)
            return
        }
        keys = names.sorted() + paths.filter { Self.place($0) == nil }
        layers = byLayer.count
    }

    /// The decoder layer of a module, and the module's path within it.
    private static func place(_ path: String) -> (layer: Int, name: String)? {
        let parts = path.split(separator: ".")
        guard let list = parts.firstIndex(of: "layers"), list + 2 < parts.count, let layer = Int(parts[list + 1]) else {
            return nil
        }
        return (layer, parts[(list + 2)...].joined(separator: "."))
    }
}
