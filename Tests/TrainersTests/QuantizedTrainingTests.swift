import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

@Suite("Training on quantised weights") struct QuantizedTrainingTests {
    @Test(
        "is training on the numbers that come back, to the bit, and leaves every stored byte as it was",
        arguments: [DType.int8, .nf4, .nf4DoubleQuant])
    func steps(_ type: DType) throws {
        var run = TinyRun()
        let plain = try run.adaptedModel()
        run.weights = type
        let model = try run.adaptedModel()
        let frozen = stored(model)
        #expect(frozen.count == 14)
        for (path, parameter) in plain.parameters() where !parameter.isTrainable {
            parameter.value = try #require(model.parameters().first { $0.path == path }).parameter.value.converted(
                to: .f32)
        }
        let (trained, expected) = (try run.result(model), try run.result(plain))
        #expect(trained.isIdentical(to: expected))
        #expect(trained.steps.count == 6 && trained.steps.allSatisfy { $0.gradientNorm > 0 })
        #expect(stored(model) == frozen)
    }

    /// Everything that is stored of the quantised layers.
    private func stored(_ model: CausalLM) -> [String: [UInt64]] {
        let layers = model.parameters().filter { $0.parameter.value.dtype.isQuantized }
        return Dictionary(
            layers.map { path, parameter in
                let parts = parameter.value.quantizedParts
                let scales = (parts.scales + parts.nestedScales + [parts.offset]).map { UInt64($0.bitPattern) }
                return (path, (parts.codes + parts.nestedCodes).map(UInt64.init) + scales)
            }, uniquingKeysWith: { $1 })
    }
}
