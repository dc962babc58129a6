import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport

/// The tiny models that adapters were made for.
let bases = ["tiny-llama", "tiny-qwen2"]

/// A fresh copy of a tiny model.
func tinyModel(_ base: String = "tiny-llama") throws -> CausalLM {
    try ModelRegistry.load(Locations.fixture("models/\(base)")).model
}

/// An adapter of the fixtures.
func fixtureAdapter(_ name: String) throws -> AdapterFolder { try AdapterFolder(Locations.fixture("adapters/\(name)")) }

/// The log-probability of every token but the first.
func logProbabilities(_ model: CausalLM, _ tokens: [Int32], adapters: [String] = []) -> [Float] {
    let context = ForwardContext(SequenceLayout([.init(count: tokens.count)]), adapters: adapters)
    let rows = Array(0..<Int32(tokens.count - 1))
    return model.score(tokens, rows: rows, targets: Array(tokens.dropFirst()), context).scores.logProbabilities
}

/// The bits of an adapter's tensors by name.
func tensorBits(_ model: any Module, named name: String = "default") throws -> [String: [UInt32]] {
    let tensors = try adapterTensors(named: name, of: model)
    return Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.value.values.map(\.bitPattern)) })
}

extension JSON {
    /// The numbers of an array.
    var floats: [Float] { array?.compactMap(\.number).map(Float.init) ?? [] }
    /// The ids of an array.
    var ids: [Int32] { array?.compactMap(\.integer).map(Int32.init) ?? [] }
}
