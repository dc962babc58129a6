import Adapters
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Runs that train some of a model's own weights.
@Suite("Partly frozen models") struct PartlyFrozenTests {
    @Test("expressions match whole paths, layers count from the last")
    func selection() throws {
        func trained(_ patterns: [String], top: Int = 0) throws -> [String] {
            let model = try TinyRun.model()
            let choice = TrainableParameters(patterns: patterns, topLayers: top)
            try choice.apply(to: model, layers: model.configuration.layers)
            return model.trainableParameters().map(\.path)
        }
        #expect(
            try trained([#".*norm\.weight"#]) == [
                "model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight",
                "model.layers.1.input_layernorm.weight", "model.layers.1.post_attention_layernorm.weight",
                "model.norm.weight",
            ])
        #expect(try trained(["model.norm.weight"]) == ["model.norm.weight"])
        let top = try trained([], top: 1)
        #expect(top.count == 9 && top.allSatisfy { $0.hasPrefix("model.layers.1.") })
        #expect(try trained([".*q_proj.*"], top: 1).count == 10)
        #expect(try trained(["model.embed_tokens.weight"], top: 2).count == 19)
    }

    @Test("what fits nothing is an error")
    func faults() throws {
        for (patterns, top, says) in [
            (["norm.weight"], 0, "\"norm.weight\" matches no parameter"),
            (["lm_head.weight"], 0, "The head of this model is the embedding"),
            ([".*norm.*", "("], 0, "`training.trainable`: \"(\" is not a valid regular expression"),
            ([], 3, "`training.trainable_top_layers` is 3, but the model has 2 layers"),
        ] {
            let model = try TinyRun.model()
            let choice = TrainableParameters(patterns: patterns, topLayers: top)
            let error = #expect(throws: InputError.self) { try choice.apply(to: model, layers: 2) }
            #expect(error?.description.contains(says) == true, "\(String(describing: error))")
            #expect(model.trainableParameters().isEmpty)
        }
    }

    @Test("below the first trained layer nothing is recorded", arguments: Recompute.allCases)
    func backwardEnds(_ recompute: Recompute) throws {
        let model = try TinyRun.model()
        try TrainableParameters(topLayers: 1).apply(to: model, layers: 2)
        let layers = model.modules().compactMap { $0.module as? DecoderLayer }
        let layout = SequenceLayout([.init(count: 4)])
        let context = ForwardContext(layout, tape: Tape(), recompute: recompute)
        let angles = RotaryEmbedding(headDimension: model.configuration.headDimension, theta: 100)
            .angles(layout.positions)
        let x = Tensor(repeating: 0.5, shape: [4, model.configuration.hiddenSize])
        #expect(layers.map { $0(x, angles, context).isTracked } == [false, true])
    }

    @Test("on a quantised base what is trained is f32, and the rest keeps its bits", arguments: [DType.nf4, .bf16])
    func quantizedBase(_ storage: DType) throws {
        let choice = TrainableParameters(patterns: [#".*layers\.1\.mlp\.up_proj.*"#, "model.embed_tokens.weight"])
        let selector = try choice.selector()
        let model = try ModelRegistry.load(
            Locations.fixture("models/tiny-llama"), weights: storage, isTrained: selector.selects
        ).model
        try choice.apply(to: model, layers: 2)
        for (path, parameter) in model.parameters() where parameter.value.shape.count == 2 {
            #expect((parameter.value.dtype == .f32) == parameter.isTrainable, "\(path)")
        }
        func frozen() -> [[UInt32]] {
            model.parameters().filter { !$0.parameter.isTrainable }.map {
                $0.parameter.value.converted(to: .f32).values.map(\.bitPattern)
            }
        }
        let before = frozen()
        let run = try TinyRun().result(model)
        #expect(frozen() == before && before.count == 18)
        #expect(run.parameters.count == 2)
        #expect(try #require(run.steps.last).loss < run.steps[0].loss)
    }
}
