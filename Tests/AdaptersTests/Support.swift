import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing

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

/// Compares one number of a parameter's gradient with a difference of losses of fourth order.
func expectSlope(of parameter: Parameter, _ gradient: Tensor, _ path: String, _ loss: () -> Double) {
    let element = gradient.count / 3
    let kept = parameter.value
    defer { parameter.value = kept }
    func shifted(_ shift: Float) -> Double {
        var values = kept.values
        values[element] += shift
        parameter.value = Tensor(values, shape: kept.shape)
        return loss()
    }
    let step: Float = 1e-2
    let slope =
        (8 * (shifted(step) - shifted(-step)) - (shifted(2 * step) - shifted(-2 * step))) / Double(12 * step)
    #expect(isClose(Double(gradient.values[element]), slope, relative: 1e-2, absolute: 3e-3), "\(path)")
}
