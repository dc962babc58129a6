import Files
import Tensors

/// An adapter as mlx-lm keeps it: `adapter_config.json` with `lora_parameters`, and `adapters.safetensors` with `lora_a` `[in, r]`,
/// `lora_b` `[r, out]` and for DoRA `m` `[out]` under each module's path. The scale is not divided by the rank.
///
/// mlx-lm adapts modules named by their path within a decoder layer in each of the last `num_layers` layers (all of them where that is
/// not positive), and modules named by their whole path.
struct MLXAdapter {
    /// LoRA or DoRA on exactly the modules that have tensors.
    let configuration: LoRAConfiguration
    /// The tensors under PEFT's names.
    let tensors: AdapterTensors
    /// The model that it was trained on.
    let baseModel: String?

    /// The name of the tensors' file.
    static let weightsName = "adapters.safetensors"
    private static let parts = [
        "lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector",
    ]

    /// Whether settings are mlx-lm's and not PEFT's.
    static func describes(_ settings: JSON) -> Bool {
        settings["peft_type"] == nil && (settings["lora_parameters"] != nil || settings["fine_tune_type"] != nil)
    }

    /// Reads the settings, and of the tensors what they are.
    ///
    /// - Throws: `InputError` where a file is missing or broken, a tensor is missing or no part of an adapter, or the folder holds whole
    ///   weights.
    init(_ settings: JSON, folder: String) throws {
        var reader = try PEFTReader(settings, file: folder + "/" + AdapterFolder.configurationName)
        let type = try reader.string("fine_tune_type") ?? "lora"
        guard type == "lora" || type == "dora" else {
            throw reader.fault(
                "fine_tune_type", "\"\(type)\" is no kind of adapter: lora and dora are",
                hint: type == "full" ? "Whole weights are no adapter: mlx_lm.fuse makes a model of them" : nil)
        }
        guard let parameters = reader.take("lora_parameters"), parameters.object != nil else {
            throw reader.fault("lora_parameters", "lora_parameters is missing: rank and scale stand there")
        }
        var inner = try PEFTReader(parameters, file: folder + "/" + AdapterFolder.configurationName)
        guard let rank = try inner.take("rank", default: nil, "a whole number", { $0.integer }) else {
            throw inner.fault("lora_parameters.rank", "the rank is missing")
        }
        guard let scale = try inner.take("scale", default: nil, "a number", { $0.number }) else {
            throw inner.fault("lora_parameters.scale", "the scale is missing")
        }
        baseModel = try reader.string("model")
        guard case .file = PathKind(folder + "/" + Self.weightsName) else {
            throw InputError("has no \(Self.weightsName)", file: folder)
        }
        let file = try SafetensorsFile(folder + "/" + Self.weightsName)
        let modules = try Self.modules(of: file, isDoRA: type == "dora")
        try LayerCount(modules, keys: inner.strings("keys"), layers: reader.integer("num_layers", default: 0))
            .check(file.path)
        tensors = AdapterTensors(
            transposed: file, renamed: file.names.compactMap { name in Self.peftName(name).map { ($0, name) } })
        var configuration = LoRAConfiguration()
        configuration.r = rank
        configuration.loraAlpha = scale * Double(rank)
        configuration.loraDropout = try inner.number("dropout", default: 0)
        configuration.useDoRA = type == "dora"
        configuration.target = TargetModules(.only(.list(modules)))
        self.configuration = configuration
    }

    private static func split(_ name: String) -> (module: String, part: String)? {
        guard let dot = name.lastIndex(of: "."), let part = parts[String(name[name.index(after: dot)...])] else {
            return nil
        }
        return (String(name[..<dot]), part)
    }

    private static func peftName(_ name: String) -> String? {
        split(name).map { "base_model.model.\($0.module).\($0.part)" }
    }

    /// The adapted modules in the order of their first tensors, each with all of its tensors.
    private static func modules(of file: SafetensorsFile, isDoRA: Bool) throws -> [String] {
        if let other = file.names.first(where: { split($0) == nil }) {
            throw InputError("tensor '\(other)' is no part of a LoRA or DoRA adapter", file: file.path)
        }
        let wanted = isDoRA ? ["lora_a", "lora_b", "m"] : ["lora_a", "lora_b"]
        var seen: Set<String> = []
        let modules = file.names.compactMap { split($0)?.module }.filter { seen.insert($0).inserted }
        let missing = modules.flatMap { module in wanted.map { module + "." + $0 } }.filter { file.entries[$0] == nil }
        guard missing.isEmpty else {
            throw InputError(
                "the adapter's tensors do not fit: \(missing.count) missing: \(missing.prefix(4).joined(separator: ", "))",
                file: file.path)
        }
        guard !modules.isEmpty else { throw InputError("holds no tensors", file: file.path) }
        return modules
    }
}

/// Whether every layer has what the others have: a file that lost a layer would load, and compute something else.
private struct LayerCount {
    /// By decoder layer, its adapted modules as paths within it.
    private var found: [Int: Set<String>] = [:]
    private let layers: Int

    init(_ modules: [String], keys: [String], layers: Int) {
        self.layers = layers
        let named = Set(keys)
        for module in modules where !named.contains(module) {
            let parts = module.split(separator: ".")
            // A number beyond any model's is no layer: the tensor will have no place.
            guard let list = parts.firstIndex(of: "layers"), list + 2 < parts.count, let number = Int(parts[list + 1]),
                (0..<1_000_000).contains(number)
            else { continue }
            found[number, default: []].insert(parts[(list + 2)...].joined(separator: "."))
        }
    }

    func check(_ path: String) throws {
        let all = found.values.reduce(into: Set<String>()) { $0.formUnion($1) }
        for (number, modules) in found.sorted(by: { $0.key < $1.key }) where modules != all {
            let absent = all.subtracting(modules).sorted().joined(separator: ", ")
            throw InputError("layer \(number) has no tensors of \(absent), which other layers have", file: path)
        }
        if layers > 0, !found.isEmpty, found.count != layers {
            throw InputError("has tensors of \(found.count) layers, but `num_layers` is \(layers)", file: path)
        }
        if let first = found.keys.min(), let last = found.keys.max(), last - first + 1 != found.count {
            throw InputError("has no tensors of a layer between \(first) and \(last)", file: path)
        }
    }
}
