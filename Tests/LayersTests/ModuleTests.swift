import Layers
import Tensors
import TestSupport
import Testing

/// Paths of modules and parameters, and the slot for adapters.
@Suite("Modules") struct ModuleTests {
    /// Two layers that share a weight, as an embedding and a tied head do.
    private final class Tied: Module {
        let first = Linear(weight: Parameter(random([4, 4], "tied")))
        let second: Linear
        init() { second = Linear(weight: first.weight, bias: Parameter(random([4], "bias"))) }
        var children: [(name: String, module: any Module)] { [("first", first), ("second", second)] }
    }

    @Test("paths are those of Hugging Face checkpoints, in order")
    func paths() throws {
        let block = try makeBlock()
        #expect(
            block.parameters().map(\.path) == [
                "self_attn.q_proj.weight", "self_attn.q_proj.bias", "self_attn.k_proj.weight", "self_attn.k_proj.bias",
                "self_attn.v_proj.weight", "self_attn.v_proj.bias", "self_attn.o_proj.weight", "mlp.gate_proj.weight",
                "mlp.up_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight",
                "post_attention_layernorm.weight",
            ])
        #expect(
            block.modules(path: "model.layers.3").map(\.path).prefix(3) == [
                "model.layers.3", "model.layers.3.self_attn", "model.layers.3.self_attn.q_proj",
            ])
        #expect(block.trainableParameters().isEmpty)
        block.setTrainable(true)
        #expect(block.trainableParameters().count == 12)
    }

    @Test("a shared parameter is listed once, until its layer gets its own")
    func sharing() {
        let model = Tied()
        #expect(model.parameters().map(\.path) == ["first.weight", "second.bias"])
        let before = model.second.weight.value.values
        model.second.untie()
        #expect(model.parameters().map(\.path) == ["first.weight", "second.weight", "second.bias"])
        model.second.weight.value = .zeros([4, 4])
        #expect(model.first.weight.value.values == before)
    }

    @Test("adapters are in a slot: by name, replaced by name, active where the context says so")
    func slot() throws {
        let layer = Linear(weight: Parameter(random([5, 3], "w")))
        let x = random([7, 3], "x")
        let layout = SequenceLayout([.init(count: 7)])
        func output(_ names: [String]) -> [Float] { layer(x, ForwardContext(layout, adapters: names)).values }
        let (one, two) = (TestAdapter("one", rank: 2, layer: layer), TestAdapter("two", rank: 1, layer: layer))
        let base = output([])
        layer.attach(one, name: "one")
        layer.attach(two, name: "two")
        #expect(layer.parameters().map(\.path) == ["weight", "one.a", "one.b", "two.a", "two.b"])
        #expect(output([]) == base)
        #expect(output(["three"]) == base)

        // Both together are both merged.
        let merged = Linear(weight: Parameter(two.merged(into: one.merged(into: layer.weight.value))))
        let expected = merged(x, ForwardContext(layout)).values
        #expect(distance(output(["one", "two"]), expected, relative: 1e-5, absolute: 1e-6) <= 1)
        #expect(distance(output(["one"]), expected) > 1)

        layer.attach(two, name: "one")
        #expect(layer.slot.names == ["one", "two"])
        #expect(output(["one"]) == output(["two"]))
        layer.detach("one")
        #expect(layer.slot.names == ["two"])
        #expect(layer.adapter("one") == nil)
    }
}
