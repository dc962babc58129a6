import Layers
import TestSupport
import Testing

/// Rotary frequencies against their definitions; whole models are held against transformers elsewhere.
@Suite("Rotary frequencies") struct RotaryEmbeddingTests {
    static let plain = RotaryEmbedding(headDimension: 8, theta: 10000).frequencies

    @Test("theta to the power of −2i/d, and divided by a factor")
    func plainAndLinear() {
        #expect(isClose(Self.plain, [1, 0.1, 0.01, 0.001], relative: 1e-12, absolute: 0))
        let linear = RotaryEmbedding(headDimension: 8, theta: 10000, scaling: .linear(factor: 4)).frequencies
        #expect(isClose(linear, [0.25, 0.025, 0.0025, 0.00025], relative: 1e-12, absolute: 0))
    }

    @Test("llama3 keeps short wavelengths, divides long ones, and blends between")
    func llama3() {
        // Wavelengths in 512 positions: 81, 8.1, 0.81, 0.081; between 1 and 16 blends.
        let scaled = RotaryEmbedding(
            headDimension: 8, theta: 10000,
            scaling: .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 16, originalPositions: 512))
        #expect(scaled.scale == 1)
        let ratios = zip(scaled.frequencies, Self.plain).map { $0 / $1 }
        let blend = (512 * 0.1 / (2 * Double.pi) - 1) / 15
        #expect(isClose(ratios, [1, (1 - blend) / 8 + blend, 0.125, 0.125], relative: 1e-12, absolute: 0))
    }

    @Test("YaRN divides what turns less than beta_slow times, and scales attention")
    func yarn() {
        let factor = RotaryEmbedding.yarnAttentionFactor(4)
        #expect(isClose(factor, 0.1 * 1.3862943611198906 + 1, relative: 1e-12))
        #expect(RotaryEmbedding.yarnAttentionFactor(1) == 1)
        let scaled = RotaryEmbedding(
            headDimension: 8, theta: 10000,
            scaling: .yarn(
                factor: 4, betaFast: 32, betaSlow: 1, originalPositions: 512, attentionFactor: factor, truncates: true))
        #expect(scaled.scale == factor)
        // 32 turns at pair 0.4, one turn at pair 1.9: a ramp from 0 to 2.
        let ratios = zip(scaled.frequencies, Self.plain).map { $0 / $1 }
        #expect(isClose(ratios, [1, 0.625, 0.25, 0.25], relative: 1e-12, absolute: 0))
    }
}
