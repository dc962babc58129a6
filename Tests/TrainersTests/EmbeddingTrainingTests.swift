import Adapters
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// Gradients of tables of tokens, whose head is scored a chunk of rows at a time.
@Suite("Training embeddings and heads") struct EmbeddingTrainingTests {
    /// What is trained of them.
    static let kinds = ["head", "embedding and head", "tied", "saved head", "saved tied", "tokens"]

    private func model(_ kind: String, _ precision: Precision) throws -> CausalLM {
        let model = try TinyRun.model(precision: precision)
        var lora = LoRAConfiguration()
        (lora.r, lora.initialization) = (4, .random)
        lora.target.include = .only(.list(["q_proj"]))
        switch kind {
        case "head": lora.target.include = .only(.list(["lm_head"]))
        case "embedding and head": lora.target.include = .only(.list(["embed_tokens", "lm_head"]))
        case "tied":
            lora.target.include = .only(.list(["embed_tokens"]))
            lora.ensuresWeightTying = true
        case "saved head": lora.modulesToSave = ["lm_head"]
        case "saved tied": (lora.modulesToSave, lora.ensuresWeightTying) = (["embed_tokens"], true)
        default: lora.trainableTokens = .embedding([1, 2, 42])
        }
        try attach(lora, to: model, seed: 5)
        return model
    }

    /// With plain gradient descent and no clipping, a difference of weights is the difference of gradients.
    @Test("24 rows at once = 8 × 3 rows, in every precision", arguments: kinds, Precision.allCases)
    func accumulation(_ kind: String, _ precision: Precision) throws {
        var run = TinyRun()
        run.makeOptimizer = { SGD() }
        (run.options.maxGradientNorm, run.options.totalSteps) = (nil, 2)
        run.size = .rows(24)
        let whole = try run.result(model(kind, precision))
        (run.size, run.accumulation) = (.rows(3), 8)
        let parts = try run.result(model(kind, precision))
        #expect(parts.difference(from: whole) < (precision == .f32 ? 1e-5 : 2e-3))
        #expect(whole.steps.allSatisfy { $0.trainedTokens > 1000 && $0.gradientNorm > 0 })
    }

    @Test("bf16 learns what f32 learns, to its rounding", arguments: kinds)
    func precision(_ kind: String) throws {
        let run = TinyRun()
        let (full, half) = (try run.result(model(kind, .f32)), try run.result(model(kind, .bf16)))
        #expect(isClose(half.steps.map(\.loss), full.steps.map(\.loss), relative: 1e-2, absolute: 0))
        #expect(isClose(half.steps.map(\.gradientNorm), full.steps.map(\.gradientNorm), relative: 5e-2, absolute: 0))
    }
}
